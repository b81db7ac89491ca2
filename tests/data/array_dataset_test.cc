// Data sets in arrays: IDX, CIFAR's binary version, .npy and .npz.
#include <limits>
#include <string>

#include "espalier/data/dataset.h"
#include "tests/data/make_files.h"
#include "tests/io/io_testing.h"

namespace espalier {
namespace {

using std::string;
namespace fs = std::filesystem;

string Repeat(char c, std::size_t count) { return string(count, c); }

DatasetOptions Split(const string& split) {
  DatasetOptions options;
  options.split = split;
  return options;
}

DatasetOptions Unlabelled() {
  DatasetOptions options;
  options.need_labels = false;
  return options;
}

class ArrayDataset : public FolderTest {
 protected:
  void MakeFolder(const string& name) const { fs::create_directories(Path(name)); }
};

using Idx = ArrayDataset;
using Pixels = std::vector<std::uint8_t>;

string TwoImages() { return MakeIdx({2, 2, 3}, "abcdefABCDEF"); }

TEST_F(Idx, ReadsMnistsFolder) {
  Write("train-images-idx3-ubyte", MakeIdx({1, 2, 3}, "uvwxyz"));
  Write("train-labels-idx1-ubyte", MakeIdx({1}, "\5"));
  Write("t10k-images-idx3-ubyte.gz", Gzip(TwoImages()));
  Write("t10k-labels-idx1-ubyte.gz", Gzip(MakeIdx({2}, string("\0\7", 2))));
  for (const string split : {"", "test", "t10k"}) {
    const auto data = OpenDataset(Path(""), Split(split));
    ASSERT_EQ(data->size(), 2u);
    const Sample sample = data->Read(1);
    EXPECT_EQ(sample.label, 7);
    EXPECT_EQ(sample.image.width, 3);
    EXPECT_EQ(sample.image.height, 2);
    EXPECT_EQ(sample.image.channels, 1);
    EXPECT_EQ(sample.image.pixels, (Pixels{'A', 'B', 'C', 'D', 'E', 'F'}));
    EXPECT_NE(data->Description().find("t10k-images-idx3-ubyte: 2 samples"), string::npos);
  }
  EXPECT_EQ(OpenDataset(Path(""), Split("train"))->Read(0).label, 5);
  ExpectError(ErrorCode::kInvalidArgument, {"'val'", "'train-images-idx3-ubyte'"},
              [&] { OpenDataset(Path(""), Split("val")); });
}

TEST_F(Idx, ReadsOneFileWithItsLabelsBeside) {
  const fs::path images = Write("my-images.idx3", TwoImages());
  ExpectError(ErrorCode::kInvalidArgument, {"no labels", "option labels", "my-images"},
              [&] { OpenDataset(images); });
  EXPECT_EQ(OpenDataset(images, Unlabelled())->Read(0).label, -1);
  Write("my-labels.idx1.gz", Gzip(MakeIdx({2}, "\1\2")));
  EXPECT_EQ(OpenDataset(images)->Read(1).label, 2);
  DatasetOptions options;
  options.labels = Write("other", MakeIdx({2}, "\3\4"));
  EXPECT_EQ(OpenDataset(images, options)->Read(1).label, 4);
}

TEST_F(Idx, ReadsFromATar) {
  const string tar = TarFile("m/t10k-images-idx3-ubyte", TwoImages()) +
                     TarFile("m/t10k-labels-idx1-ubyte", MakeIdx({2}, "\1\2")) + TarEnd();
  for (const string& text : {tar, Gzip(tar), Xz(tar)}) {
    EXPECT_EQ(OpenDataset(Write("mnist.tar", text))->Read(1).label, 2);
  }
}

TEST_F(Idx, RefusesSizesThatLie) {
  const auto expect = [&](const string& text, std::initializer_list<std::string_view> parts,
                          ErrorCode code = ErrorCode::kBadFile) {
    DatasetOptions options = Unlabelled();
    options.format = DataFormat::kIdx;
    ExpectError(code, parts, [&] { OpenDataset(Write("a.idx", text), options); });
  };
  const string whole = TwoImages();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    expect(whole.substr(0, size), {"IDX images", "a.idx"});
  }
  expect(whole + "x", {"2x2x3", "13 bytes"});
  expect(MakeIdx({0, 2, 3}, ""), {"0x2x3", "empty"});
  expect(MakeIdx({0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, "abc"), {"4294967295x4294967295"});
  expect(MakeIdx({1, 1, 70000}, Repeat('a', 70000)), {"70000x1", "limit"});
  expect(MakeIdx({2, 2, 3}, Repeat('a', 48), 0x0D), {"00000803", "00000d03"},
         ErrorCode::kUnsupported);
}

TEST_F(Idx, RefusesLabelsOfAnotherNumber) {
  Write("t10k-images-idx3-ubyte", TwoImages());
  Write("t10k-labels-idx1-ubyte", MakeIdx({3}, "\1\2\3"));
  ExpectError(ErrorCode::kBadFile, {"2 images, but 3 labels"}, [&] { OpenDataset(Path("")); });
  Write("t10k-labels-idx1-ubyte", "junk");
  ExpectError(ErrorCode::kBadFile, {"IDX labels"}, [&] { OpenDataset(Path("")); });
}

using Cifar = ArrayDataset;

string Record(const string& labels, char r, char g, char b) {
  return labels + Repeat(r, 1024) + Repeat(g, 1024) + Repeat(b, 1024);
}

TEST_F(Cifar, ReadsTheFolderOfCifar10) {
  Write("data_batch_1.bin", Record("\1", 'a', 'b', 'c') + Record("\2", 'd', 'e', 'f'));
  Write("data_batch_2.bin", Record("\3", 'g', 'h', 'i'));
  Write("test_batch.bin", Record("\4", 'j', 'k', 'l'));
  Write("batches.meta.txt", "c0\nc1\nc2\nc3\nc4\nc5\nc6\nc7\nc8\nc9\n\n");
  const auto train = OpenDataset(Path(""), Split("train"));
  ASSERT_EQ(train->size(), 3u);
  EXPECT_EQ(train->Read(2).label, 3);
  EXPECT_EQ(train->Read(1).image.pixels[3071], 'f');
  EXPECT_EQ(train->Read(2).image.pixels[1], 'h');
  EXPECT_EQ(train->class_names().at(9), "c9");
  const auto test = OpenDataset(Path(""));
  ASSERT_EQ(test->size(), 1u);
  EXPECT_EQ(test->Read(0).label, 4);
  EXPECT_EQ(test->Read(0).image.width, 32);
  EXPECT_EQ(test->Read(0).image.channels, 3);
  ExpectError(ErrorCode::kInvalidArgument, {"'val'", "train and test"},
              [&] { OpenDataset(Path(""), Split("val")); });
}

TEST_F(Cifar, ReadsTheArchiveOfCifar100) {
  const string tar = TarFile("cifar-100-binary/train.bin", Record("\1\x63", 'a', 'b', 'c')) +
                     TarFile("cifar-100-binary/test.bin", Record("\1\x62", 'd', 'e', 'f')) +
                     TarEnd();
  const fs::path path = Write("cifar-100-binary.tar.gz", Gzip(tar));
  EXPECT_EQ(OpenDataset(path)->Read(0).label, 98);
  EXPECT_EQ(OpenDataset(path, Split("train"))->Read(0).label, 99);
}

TEST_F(Cifar, ReadsOneFile) {
  EXPECT_EQ(OpenDataset(Write("x.bin", Record("\4", 'a', 'b', 'c')))->Read(0).label, 4);
  EXPECT_EQ(OpenDataset(Write("y.bin", Record("\4\x32", 'a', 'b', 'c')))->Read(0).label, 50);
  EXPECT_EQ(OpenDataset(Write("test.bin", Record("\4\x33", 'a', 'b', 'c')))->Read(0).label, 51);
}

TEST_F(Cifar, RefusesWrongSizesAndLabels) {
  const string record = Record("\4", 'a', 'b', 'c');
  for (const string& text : {string(), record.substr(1), record + "x"}) {
    ExpectError(ErrorCode::kBadFile,
                {"'test_batch.bin' has " + std::to_string(text.size()) + " bytes", "3073"},
                [&] { OpenDataset(Write("test_batch.bin", text)); });
  }
  ExpectError(ErrorCode::kBadFile, {"label 10 at byte 3073", "0 to 9"}, [&] {
    OpenDataset(Write("test_batch.bin", record + Record("\x0A", 'a', 'b', 'c')));
  });
  ExpectError(ErrorCode::kInvalidArgument, {"no file of the split 'train'"},
              [&] { OpenDataset(Path(""), Split("train")); });
}

using Numpy = ArrayDataset;

string FloatText(std::initializer_list<float> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(float)};
}

TEST_F(Numpy, ReadsTensorsOfAnNpz) {
  const string inputs = MakeNpy("<f4", "(2, 3)", FloatText({1, 2, 3, 4, 5, 6}));
  const string labels = MakeNpy("<i8", "(2,)", Little(8, 8) + Little(9, 8));
  for (const bool deflated : {false, true}) {
    const string& zip =
        MakeZip({{"X.npy", inputs, deflated, true}, {"y.npy", labels, deflated, true}});
    const auto data = OpenDataset(Write("a.npz", zip));
    ASSERT_EQ(data->size(), 2u);
    const Sample sample = data->Read(1);
    EXPECT_EQ(sample.label, 9);
    EXPECT_FALSE(sample.HasImage());
    EXPECT_EQ(sample.tensor.shape, Dims{3});
    EXPECT_EQ(sample.tensor.dtype, DType::kFloat32);
    EXPECT_EQ(string(reinterpret_cast<const char*>(sample.tensor.bytes.data()), 12),
              FloatText({4, 5, 6}));
  }
}

TEST_F(Numpy, ReadsBytesAsImages) {
  const auto read = [&](const string& shape, const string& bytes) {
    return OpenDataset(Write("a.npy", MakeNpy("|u1", shape, bytes)), Unlabelled())->Read(1).image;
  };
  const Image gray = read("(2, 2, 3)", "......abcdef");
  EXPECT_EQ(gray.width, 3);
  EXPECT_EQ(gray.height, 2);
  EXPECT_EQ(gray.channels, 1);
  EXPECT_EQ(gray.pixels, (Pixels{'a', 'b', 'c', 'd', 'e', 'f'}));
  const Image last = read("(2, 1, 2, 3)", "......abcdef");
  EXPECT_EQ(last.width, 2);
  EXPECT_EQ(last.channels, 3);
  EXPECT_EQ(last.pixels, (Pixels{'a', 'b', 'c', 'd', 'e', 'f'}));
  const Image first = read("(2, 3, 1, 2)", "......abcdef");
  EXPECT_EQ(first.width, 2);
  EXPECT_EQ(first.channels, 3);
  EXPECT_EQ(first.pixels, (Pixels{'a', 'c', 'e', 'b', 'd', 'f'}));
  EXPECT_TRUE(read("(2, 2, 1, 2)", "....abcd").pixels.empty());
}

TEST_F(Numpy, FindsSplitsAndFiles) {
  const string x = MakeNpy("|u1", "(1, 1, 1)", "a"), t = MakeNpy("|u1", "(1, 1, 1)", "b");
  const string y = MakeNpy("|u1", "(1,)", "\1"), u = MakeNpy("|u1", "(1, 1)", "\2");
  const fs::path zip = Write("mnist.npz", MakeZip({{"x_train.npy", x, false, false},
                                                   {"y_train.npy", y, false, false},
                                                   {"x_test.npy", t, false, false},
                                                   {"y_test.npy", u, false, false}}));
  EXPECT_EQ(OpenDataset(zip)->Read(0).label, 2);
  EXPECT_EQ(OpenDataset(zip, Split("train"))->Read(0).label, 1);
  EXPECT_EQ(OpenDataset(zip, Split("train"))->Read(0).image.pixels[0], 'a');
  ExpectError(ErrorCode::kInvalidArgument, {"'val'", "'x_train'"},
              [&] { OpenDataset(zip, Split("val")); });
  MakeFolder("d");
  Write("d/inputs.npy", x);
  Write("d/labels.npy", u);
  EXPECT_EQ(OpenDataset(Path("d"))->Read(0).label, 2);
  EXPECT_EQ(OpenDataset(Path("d/inputs.npy"))->Read(0).label, 2);
  DatasetOptions options;
  options.labels = Write("other.npy", y);
  EXPECT_EQ(OpenDataset(Path("d/inputs.npy"), options)->Read(0).label, 1);
  EXPECT_EQ(OpenDataset(Path("d"), options)->Read(0).label, 1);
}

TEST_F(Numpy, RefusesLabelsThatDoNotFit) {
  const auto open = [&](const string& labels) {
    OpenDataset(
        Write("a.npz", MakeZip({{"x.npy", MakeNpy("<f4", "(2,)", FloatText({1, 2})), false, false},
                                {"y.npy", labels, false, false}})));
  };
  ExpectError(ErrorCode::kBadFile, {"shape 3 for 2 inputs"},
              [&] { open(MakeNpy("|u1", "(3,)", "abc")); });
  ExpectError(ErrorCode::kBadFile, {"shape 2x2 for 2 inputs"},
              [&] { open(MakeNpy("|u1", "(2, 2)", "abcd")); });
  ExpectError(ErrorCode::kBadFile, {"shape scalar"}, [&] { open(MakeNpy("|u1", "()", "a")); });
  ExpectError(ErrorCode::kBadFile, {"label -1 of sample 1"},
              [&] { open(MakeNpy("|i1", "(2,)", "\1\xFF")); });
  ExpectError(ErrorCode::kBadFile, {"element 1 is 0.5"}, [&] {
    open(MakeNpy("<f4", "(2,)", FloatText({1, 0.5f})));
  });
  ExpectError(ErrorCode::kBadFile, {"element 0 is nan"}, [&] {
    open(MakeNpy("<f4", "(2,)", FloatText({std::numeric_limits<float>::quiet_NaN(), 1})));
  });
  ExpectError(ErrorCode::kUnsupported, {"complex64"},
              [&] { open(MakeNpy("<c8", "(2,)", Repeat('a', 16))); });
}

TEST_F(Numpy, RefusesInputsThatLie) {
  const auto open = [&](const string& npy) { OpenDataset(Write("a.npy", npy), Unlabelled()); };
  const string whole = MakeNpy("<f4", "(2, 1)", FloatText({1, 2}));
  for (std::size_t size = 6; size < whole.size(); ++size) {
    SCOPED_TRACE(size);
    ExpectError(ErrorCode::kBadFile, {"a.npy"}, [&] { open(whole.substr(0, size)); });
  }
  ExpectError(ErrorCode::kBadFile, {"2x1", "9 bytes"}, [&] { open(whole + "x"); });
  ExpectError(ErrorCode::kBadFile, {"0x5"}, [&] { open(MakeNpy("<f4", "(0, 5)", "")); });
  ExpectError(ErrorCode::kBadFile, {"scalar"}, [&] { open(MakeNpy("<f4", "()", "abcd")); });
  ExpectError(ErrorCode::kBadFile, {"a.npy"},
              [&] { open(MakeNpy("<f4", "(4611686018427387904, 4)", "")); });
  ExpectError(ErrorCode::kUnsupported, {"Fortran"}, [&] {
    open(MakeNpy("<f4", "(2, 1)", FloatText({1, 2}), true));
  });
  ExpectError(ErrorCode::kUnsupported, {"version 9"}, [&] {
    string bad = whole;
    bad[6] = 9;
    open(bad);
  });
}

TEST_F(Numpy, NamesTheArraysOfAnNpzWithoutInputs) {
  const string npy = MakeNpy("|u1", "(1,)", "a");
  ExpectError(ErrorCode::kInvalidArgument, {"inputs, x, images", "'weights'"}, [&] {
    OpenDataset(Write("a.npz", MakeZip({{"weights.npy", npy, false, false}})));
  });
  ExpectError(ErrorCode::kInvalidArgument, {"no labels"}, [&] {
    OpenDataset(Write("a.npz", MakeZip({{"x.npy", npy, false, false}})));
  });
}

}  // namespace
}  // namespace espalier
