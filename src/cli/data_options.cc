#include "cli/data_options.h"

#include <CLI/CLI.hpp>

namespace espalier::cli {

void AddData(CLI::App* sub, DataOptions* options, bool required) {
  sub->add_option("--data", options->path,
                  "Folder or tar of JPEG and PNG files, IDX, CIFAR binary, .npy or .npz")
      ->required(required)
      ->type_name("PATH");
  sub->add_option(
         "--preprocess", options->preprocess,
         "How images become inputs: imagenet, imagenet-caffe, imagenet-tf, cifar10, mnist, unit "
         "or raw; the options below change parts of it")
      ->required(required)
      ->type_name("NAME");
  sub->add_option("--resize", options->resize, "none, model, WxH, crop, crop:S or crop:S,WxH");
  sub->add_option("--filter", options->filter, "bilinear or antialias");
  sub->add_option("--mean", options->mean,
                  "One number for all channels or three with commas; quotients such as 1/255, too");
  sub->add_option("--std", options->std, "Likewise; a pixel x becomes (x * scale - mean) / std");
  sub->add_option("--scale", options->scale, "Factor for pixels 0..255, such as 1/255");
  sub->add_option("--channels", options->channels, "rgb, bgr or gray");
  sub->add_option("--layout", options->layout, "nchw or nhwc");
  sub->add_option("--labels", options->labels, "CSV `file,label` for images; labels of IDX or npy")
      ->type_name("FILE");
  sub->add_option("--split", options->split, "Part of the data, as test or cifar10/train")
      ->type_name("NAME");
  sub->add_option("--format", options->format, "images, idx, cifar or numpy, if not seen from PATH")
      ->capture_default_str();
}

Preprocess PreprocessFrom(const DataOptions& options) {
  Preprocess preprocess = FindPreprocess(options.preprocess);
  const std::pair<const char*, const std::string*> fields[] = {
      {"resize", &options.resize}, {"mean", &options.mean},   {"std", &options.std},
      {"layout", &options.layout}, {"scale", &options.scale}, {"channels", &options.channels},
      {"filter", &options.filter}};
  for (const auto& [field, text] : fields) {
    if (!text->empty()) OverridePreprocess(preprocess, field, *text);
  }
  return preprocess;
}

std::unique_ptr<Dataset> OpenData(const DataOptions& options, bool need_labels) {
  DatasetOptions data;
  data.format = ParseDataFormat(options.format);
  data.labels = options.labels;
  data.split = options.split;
  data.need_labels = need_labels;
  return OpenDataset(options.path, data);
}

}  // namespace espalier::cli
