#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "espalier/data/dataset.h"
#include "tests/data/make_files.h"
#include "tests/data/make_images.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using std::string;
namespace fs = std::filesystem;
using Strings = std::vector<string>;

// An image that is told from others by its only pixel.
string Png(int pixel) { return MakePng(Image{1, 1, 1, {static_cast<std::uint8_t>(pixel)}}); }

// "name=label" of all samples, after a check that pixel and name belong together.
Strings Samples(const Dataset& data) {
  Strings found;
  for (std::size_t i = 0; i < data.size(); ++i) {
    const Sample sample = data.Read(i);
    found.push_back(sample.name + "=" + std::to_string(sample.label) + ":" +
                    std::to_string(sample.image.pixels.at(0)));
  }
  return found;
}

DatasetOptions Split(const string& split) {
  DatasetOptions options;
  options.split = split;
  return options;
}

// The same files as a folder and as archives; every test has to hold for each.
class ImageDataset : public FolderTest {
 protected:
  void Add(const string& path, const string& bytes) { files_.emplace_back(path, bytes); }

  std::vector<fs::path> Forms() const {
    string tar;
    for (const auto& [path, bytes] : files_) {
      fs::create_directories(Path("set/" + path).parent_path());
      Write("set/" + path, bytes);
      tar += TarFile(path, bytes);
    }
    tar += TarEnd();
    return {Path("set"), Write("set.tar", tar), Write("set.tar.gz", Gzip(tar)),
            Write("set.tar.xz", Xz(tar))};
  }

  void Expect(const Strings& want, const DatasetOptions& options = {}) const {
    for (const fs::path& path : Forms()) {
      SCOPED_TRACE(path);
      EXPECT_EQ(Samples(*OpenDataset(path, options)), want);
    }
  }

  void ExpectRefused(ErrorCode code, std::initializer_list<std::string_view> parts,
                     const DatasetOptions& options = {}) const {
    for (const fs::path& path : Forms()) {
      SCOPED_TRACE(path);
      ExpectError(code, parts, [&] { OpenDataset(path, options); });
    }
  }

 private:
  std::vector<std::pair<string, string>> files_;
};

TEST_F(ImageDataset, TakesLabelsFromFolders) {
  Add("dog/2.png", Png(2));
  Add("dog/1.PNG", Png(1));
  Add("Cat/x/y.png", Png(3));
  Add("emu/a.jpeg", MakeJpeg(Image{1, 1, 1, {100}}, JpegKind::kGray));
  Add("dog/notes.txt", "no image");
  Add("readme.md", "no image");
  Add("cover.png", Png(9));
  Add("dog/.hidden.png", "no image");
  Add(".cache/x/1.png", "no image");
  Expect({"Cat/x/y.png=0:3", "dog/1.PNG=1:1", "dog/2.png=1:2", "emu/a.jpeg=2:100"});
  const auto data = OpenDataset(Forms()[0]);
  EXPECT_EQ(data->class_names(), (Strings{"Cat", "dog", "emu"}));
  EXPECT_EQ(data->Description(), "set: 4 samples, 3 classes");
}

TEST_F(ImageDataset, TakesTheNamesGiven) {
  Add("dog/2.png", Png(2));
  Add("cat/1.png", Png(1));
  DatasetOptions options;
  options.class_names = {"dog", "emu", "cat"};
  Expect({"cat/1.png=2:1", "dog/2.png=0:2"}, options);
  options.class_names = {"dog", "emu"};
  ExpectRefused(ErrorCode::kInvalidArgument, {"'cat'", "2 class names"}, options);
}

TEST_F(ImageDataset, PassesLoneFoldersAndTakesTheTests) {
  for (const string split : {"train", "test"}) {
    for (const string name : {"a", "b"}) {
      Add("top/" + split + "/" + name + "/1.png", Png(split == "train" ? 1 : 2));
    }
  }
  const Strings test = {"top/test/a/1.png=0:2", "top/test/b/1.png=1:2"};
  Expect(test);
  Expect(test, Split("test"));
  Expect(test, Split("top/test"));
  Expect({"top/train/a/1.png=0:1", "top/train/b/1.png=1:1"}, Split("train/"));
  EXPECT_EQ(OpenDataset(Forms()[1])->Description(),
            "set.tar, folder top/test: 2 samples, 2 classes");
  for (const string split : {"val", "est", "top/tes"}) {
    ExpectRefused(ErrorCode::kInvalidArgument, {"'" + split + "'", "'top'"}, Split(split));
  }
}

TEST_F(ImageDataset, RefusesASplitThatMayBeSeveral) {
  for (const string top : {"x", "y"}) {
    for (const string name : {"a", "b"}) Add(top + "/val/" + name + "/1.png", Png(1));
  }
  ExpectRefused(ErrorCode::kInvalidArgument, {"'val'", "'x/val/'", "'y/val/'"}, Split("val"));
  Expect({"y/val/a/1.png=0:1", "y/val/b/1.png=1:1"}, Split("y/val"));
}

TEST_F(ImageDataset, RefusesImagesWithoutClasses) {
  Add("top/1.png", Png(1));
  Add("top/2.png", Png(2));
  ExpectRefused(ErrorCode::kInvalidArgument, {"classes", "'top' alone", "CSV", "set"});
  DatasetOptions options;
  options.need_labels = false;
  Expect({"top/1.png=-1:1", "top/2.png=-1:2"}, options);
}

TEST_F(ImageDataset, RefusesDataWithoutImages) {
  Add("a/1.webp", "x");
  ExpectRefused(ErrorCode::kInvalidArgument, {"no JPEG or PNG", "1 files"});
}

TEST_F(ImageDataset, TakesLabelsFromACsv) {
  Add("top/1.png", Png(1));
  Add("top/2", Png(2));
  Add("top/3.png", Png(3));
  DatasetOptions options;
  options.labels = Write("l.csv", "file,label\ntop/3.png,5\n2,0\n");
  Expect({"top/3.png=5:3", "top/2=0:2"}, options);
  options.labels = Write("n.csv", "file,label\n1.png,b\n2,a\n");
  Expect({"top/1.png=1:1", "top/2=0:2"}, options);
  options.labels = Write("m.csv", "file,label\n4.png,b\n");
  ExpectRefused(ErrorCode::kBadFile, {"line 2", "'4.png'", "m.csv", "set"}, options);
  options.labels = Write("e.csv", "file,label\n");
  ExpectRefused(ErrorCode::kBadFile, {"no samples"}, options);
  options.labels = Path("absent.csv");
  ExpectRefused(ErrorCode::kBadFile, {"absent.csv"}, options);
  options.split = "test";
  ExpectRefused(ErrorCode::kInvalidArgument, {"split 'test'", "absent.csv"}, options);
}

TEST_F(ImageDataset, NamesTheImageThatCannotBeRead) {
  Add("a/1.png", Png(1));
  Add("b/2.png", Png(2).substr(0, 40));
  for (const fs::path& path : Forms()) {
    const auto data = OpenDataset(path);
    EXPECT_EQ(data->Read(0).label, 0);
    ExpectError(ErrorCode::kBadFile, {"PNG", "'b/2.png' of 'set"}, [&] { data->Read(1); });
    ExpectError(ErrorCode::kInvalidArgument, {"sample 2", "of 2"}, [&] { data->Read(2); });
  }
  const auto data = OpenDataset(Path("set"));
  fs::remove(Path("set/a/1.png"));
  ExpectError(ErrorCode::kBadFile, {"cannot open", "'a/1.png'"}, [&] { data->Read(0); });
}

TEST_F(ImageDataset, ReadsFromSeveralThreads) {
  for (int i = 0; i < 20; ++i) Add((i % 2 ? "a/" : "b/") + std::to_string(i) + ".png", Png(i));
  for (const fs::path& path : Forms()) {
    const auto data = OpenDataset(path);
    std::atomic<int> wrong = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        for (std::size_t i = 0; i < data->size(); ++i) {
          const Sample sample = data->Read(i);
          const string number = sample.name.substr(2, sample.name.size() - 6);
          if (std::to_string(sample.image.pixels[0]) != number) ++wrong;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(wrong, 0);
  }
}

TEST_F(ImageDataset, TakesTheLaterOfTwoFilesInATar) {
  const fs::path path = Write("a.tar", TarFile("a/1.png", Png(1)) + TarFile("b/1.png", Png(2)) +
                                           TarFile("./a/1.png", Png(3)) + TarEnd());
  EXPECT_EQ(Samples(*OpenDataset(path)), (Strings{"a/1.png=0:3", "b/1.png=1:2"}));
}

TEST_F(ImageDataset, EntersEachFolderOnce) {
  fs::create_directories(Path("set/a"));
  fs::create_directories(Path("set/b"));
  Write("set/a/1.png", Png(1));
  Write("set/b/2.png", Png(2));
  fs::create_directory_symlink("..", Path("set/a/up"));
  fs::create_directory_symlink(".", Path("set/b/self"));
  fs::create_symlink("nowhere", Path("set/b/dangling.png"));
  fs::create_symlink("2.png", Path("set/b/3.png"));
  EXPECT_EQ(Samples(*OpenDataset(Path("set"))),
            (Strings{"a/1.png=0:1", "b/2.png=1:2", "b/3.png=1:2"}));
}

TEST_F(ImageDataset, NamesWhatItDoesNotKnow) {
  ExpectError(ErrorCode::kBadFile, {"absent", "No such file"},
              [&] { OpenDataset(Path("absent")); });
  for (const string& bytes : {string(), string("text"), Png(1)}) {
    ExpectError(ErrorCode::kBadFile, {"not a data set", "'" + Path("x").native() + "'"},
                [&] { OpenDataset(Write("x", bytes)); });
  }
  DatasetOptions options;
  options.format = DataFormat::kImages;
  ExpectError(ErrorCode::kBadFile, {"neither a folder nor a tar"},
              [&] { OpenDataset(Write("x", "text"), options); });
  options.max_unpacked = 1000;
  ExpectError(ErrorCode::kBadFile, {"more than 1000 bytes"},
              [&] { OpenDataset(Write("x", Gzip(string(1001, 'a'))), options); });
}

TEST(DataFormats, AreFoundByName) {
  EXPECT_EQ(ParseDataFormat("detect"), DataFormat::kDetect);
  EXPECT_EQ(ParseDataFormat("images"), DataFormat::kImages);
  EXPECT_EQ(ParseDataFormat("idx"), DataFormat::kIdx);
  EXPECT_EQ(ParseDataFormat("cifar"), DataFormat::kCifar);
  EXPECT_EQ(ParseDataFormat("numpy"), DataFormat::kNumpy);
  ExpectError(ErrorCode::kInvalidArgument, {"'tfrecord'", "detect, images"},
              [] { ParseDataFormat("tfrecord"); });
}

}  // namespace
}  // namespace espalier
