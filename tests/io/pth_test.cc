#include "espalier/io/pth.h"

#include <fmt/format.h>

#include <cstring>
#include <string>

#include "io/crc32.h"
#include "tests/io/io_testing.h"
#include "tests/io/make_pth.h"

namespace espalier {
namespace {

using std::string;

string Floats(const std::vector<float>& values) {
  string bytes(values.size() * 4, '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

string TextOf(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Everything about a file in one text: "place:name type shape = values".
string Described(const InputFile& file) {
  string text;
  for (const PthEntry& entry : ReadPthHeader(file).entries) {
    text += fmt::format("{}:{} {} {} =", entry.place, entry.name, DTypeName(entry.dtype),
                        DimsText(entry.shape));
    const std::vector<std::byte> bytes = ReadPthTensor(file, entry);
    for (std::size_t i = 0; entry.dtype == DType::kFloat32 && i < bytes.size(); i += 4) {
      float value = 0;
      std::memcpy(&value, bytes.data() + i, 4);
      text += fmt::format(" {}", value);
    }
    text += "\n";
  }
  return text;
}

class Pth : public FolderTest {
 protected:
  // The same pickle and storages in both formats.
  void Expect(const string& pickle, const std::vector<string>& storages, const string& want) const {
    EXPECT_EQ(Described(InputFile(Write("new.pth", PthZip(PDone(pickle), storages)))), want);
    EXPECT_EQ(Described(InputFile(Write("old.pth", PthOld(PDone(pickle), storages)))), want);
  }

  void ExpectRefused(ErrorCode code, const string& bytes,
                     std::initializer_list<std::string_view> parts) const {
    const InputFile file(Write("bad.pth", bytes));
    ExpectError(code, parts, [&] { Described(file); });
    ExpectError(code, {"while reading", "bad.pth"}, [&] { Described(file); });
  }

  void ExpectBad(const string& pickle, const std::vector<string>& storages,
                 std::initializer_list<std::string_view> parts,
                 ErrorCode code = ErrorCode::kBadFile) const {
    for (const string& bytes : {PthZip(PDone(pickle), storages), PthOld(PDone(pickle), storages)}) {
      ExpectRefused(code, bytes, parts);
    }
  }
};

const string kSix = Floats({0, 1, 2, 3, 4, 5});

TEST_F(Pth, ReadsViewsOfStoragesInRowMajorOrder) {
  const string storage = PStorage("0", 6);
  Expect(PDict({{"rows", PTensor(storage, 0, {2, 3}, {3, 1})},
                {"columns", PTensor(storage, 0, {3, 2}, {1, 3})},
                {"part", PTensor(storage, 1, {2, 2}, {3, 1})},
                {"repeated", PTensor(storage, 2, {2, 2}, {0, 1})},
                {"scalar", PTensor(storage, 5, {}, {})},
                {"empty", PTensor(storage, 6, {0, 7}, {7, 1})},
                {"one", PTensor(storage, 4, {1, 1, 2}, {99, 98, 1})}}),
         {kSix},
         ":rows float32 2x3 = 0 1 2 3 4 5\n"
         ":columns float32 3x2 = 0 3 1 4 2 5\n"
         ":part float32 2x2 = 1 2 4 5\n"
         ":repeated float32 2x2 = 2 3 2 3\n"
         ":scalar float32 scalar = 5\n"
         ":empty float32 0x7 =\n"
         ":one float32 1x1x2 = 4 5\n");
}

TEST_F(Pth, NamesTensorsByTheirDictsAndLists) {
  const string a = PTensor(PStorage("0", 6), 0, {1}, {1});
  const string pickle =
      PDict({{"epoch", "K\x03"},
             {"lr", string("G\x3f\xb9\x99\x99\x99\x99\x99\x9a", 9)},
             {"arch", PText("resnet20")},
             {"best", "\x88"},
             {"none", "N"},
             {"state_dict", PDict({{"conv.weight", a}, {"conv.bias", a}})},
             {"optimizer", PDict({{"state", PDict({{"0", PDict({{"buffer", a}})}})}})},
             {"list", "](" + a + "(" + a + "K\x07te"}});
  const InputFile file(Write("x.pth", PthZip(PDone(pickle), {kSix})));
  EXPECT_EQ(Described(file),
            "state_dict:conv.weight float32 1 = 0\n"
            "state_dict:conv.bias float32 1 = 0\n"
            "optimizer/state/0:buffer float32 1 = 0\n"
            "list:0 float32 1 = 0\n"
            "list/1:0 float32 1 = 0\n");
  const PthHeader header = ReadPthHeader(file);
  ASSERT_EQ(header.values.size(), 5u);
  EXPECT_EQ(std::get<std::int64_t>(header.values[0].value), 3);
  EXPECT_EQ(std::get<double>(header.values[1].value), 0.1);
  EXPECT_EQ(std::get<string>(header.values[2].value), "resnet20");
  EXPECT_EQ(std::get<bool>(header.values[3].value), true);
  EXPECT_EQ(header.values[4].place, "list/1");
  EXPECT_EQ(header.values[4].name, "1");

  EXPECT_EQ(StateDictOf(header).size(), 2u);
  EXPECT_EQ(StateDictOf(header, "optimizer/state/0").at(0).name, "buffer");
  ExpectError(ErrorCode::kInvalidArgument, {"no tensors at 'ema'", "'state_dict'", "'list/1'"},
              [&] { StateDictOf(header, "ema"); });
  PthHeader two = header;
  std::erase_if(two.entries, [](const PthEntry& entry) { return entry.place == "state_dict"; });
  ExpectError(ErrorCode::kInvalidArgument, {"no tensors at the top", "'list'"},
              [&] { StateDictOf(two); });
}

TEST_F(Pth, ReadsParametersAndOrderedDictsWithAttributes) {
  const string tensor = PTensor(PStorage("0", 6), 0, {6}, {1});
  const string hooks = PGlobal("collections", "OrderedDict") + ")R";
  const string parameter =
      PGlobal("torch._utils", "_rebuild_parameter") + "(" + tensor + "\x88" + hooks + "tR";
  const string metadata = "}" + PText("_metadata") + hooks + "sb";
  const string want = ":w float32 6 = 0 1 2 3 4 5\n";
  Expect(hooks + "(" + PText("w") + parameter + "u" + metadata, {kSix}, want);
  // Python 2: OrderedDict([['w', tensor]])
  Expect(PGlobal("collections", "OrderedDict") + "](" + "(" + PText("w") + tensor + "te\x85R",
         {kSix}, want);
  Expect(PGlobal("torch._utils", "_rebuild_tensor") + "(" + PStorage("0", 6) + PInt(0) +
             PTuple({6}) + PTuple({1}) + "tR",
         {kSix}, ":tensor float32 6 = 0 1 2 3 4 5\n");
}

TEST_F(Pth, ReadsNewTypesFromStoragesOfBytes) {
  const string storage = "(" + PText("storage") + PGlobal("torch.storage", "UntypedStorage") +
                         PText("0") + PText("cpu") + PInt(24) + "tQ";
  const auto tensor = [&](const string& dtype, std::uint64_t offset, std::uint64_t count) {
    return PDict(
        {{"w", PGlobal("torch._utils", "_rebuild_tensor_v3") + "(" + storage + PInt(offset) +
                   PTuple({count}) + PTuple({1}) + "\x89" + "}" + PGlobal("torch", dtype) + "tR"}});
  };
  const auto entry = [&](const string& pickle) {
    return ReadPthHeader(InputFile(Write("x.pth", PthZip(PDone(pickle), {kSix})))).entries.at(0);
  };
  EXPECT_EQ(entry(tensor("float8_e4m3fn", 0, 24)).dtype, DType::kFloat8E4M3Fn);
  EXPECT_EQ(entry(tensor("uint16", 2, 10)).dtype, DType::kUint16);
  EXPECT_EQ(entry(tensor("uint16", 2, 10)).end - entry(tensor("uint16", 2, 10)).begin, 20u);
  ExpectRefused(ErrorCode::kBadFile, PthZip(PDone(tensor("uint64", 1, 3)), {kSix}),
                {"3 elements from element 1", "has 3"});
  ExpectBad(tensor("bits8", 0, 1), {kSix}, {"'torch.bits8'"}, ErrorCode::kUnsupported);
}

TEST_F(Pth, RefusesOtherClassesByName) {
  const auto refused = [&](const string& pickle, std::string_view name) {
    ExpectBad(pickle, {}, {name, "save model.state_dict()"}, ErrorCode::kUnsupported);
  };
  refused(PGlobal("os", "system") + "(" + PText("touch /tmp/gone") + "tR", "'os.system' at byte");
  refused(PDict({{"model", PGlobal("models.resnet", "ResNet") + ")R"}}), "'models.resnet.ResNet'");
  refused(PDict({{"w", PGlobal("torch._utils", "_rebuild_sparse_tensor")}}), "_rebuild_sparse");
  refused(PDict({{"w", PGlobal("torch", "QInt8Storage")}}), "'torch.QInt8Storage'");
  refused(PText("posix") + PText("system") + "\x93", "'posix.system'");
  refused(PGlobal("a\x1b[2J", "b"), "'a\\x1b[2J.b'");
  ExpectBad("P12\n", {}, {"opcode 0x50 at byte"}, ErrorCode::kUnsupported);
  ExpectBad(PGlobal("collections", "OrderedDict") + ")\x81", {}, {"opcode 0x81"},
            ErrorCode::kUnsupported);
}

TEST_F(Pth, RefusesTensorsBeyondTheirStorage) {
  const auto bad = [&](const string& tensor, std::initializer_list<std::string_view> parts) {
    ExpectBad(PDict({{"w", tensor}}), {kSix}, parts);
  };
  const string storage = PStorage("0", 6);
  bad(PTensor(storage, 0, {7}, {1}), {"tensor 'w'", "goes beyond its storage of 6"});
  bad(PTensor(storage, 1, {6}, {1}), {"6 elements from element 1 on", "has 6"});
  bad(PTensor(storage, 7, {0}, {1}), {"from element 7"});
  bad(PTensor(storage, 0, {2, 2}, {5, 1}), {"2x2 with strides 5x1"});
  bad(PTensor(storage, 0, {2}, {~0ull >> 1}), {"goes beyond"});
  bad(PTensor(storage, 0, {2}, {~0ull}), {"a stride is no whole number"});
  bad(PTensor(storage, 0, {~0ull}, {1}), {"a dimension is no whole number"});
  bad(PTensor(storage, 0, {1ull << 40, 1ull << 40}, {0, 0}), {"tensor 'w'"});
  bad(PTensor(storage, 0, {1ull << 20}, {0}), {"1048576 of float32 is more than the file's"});
  bad(PTensor(storage, 0, {2, 3}, {1}), {"2 dimensions with 1 strides"});
  bad(PTensor(storage, 0, std::vector<std::uint64_t>(65, 1), std::vector<std::uint64_t>(65, 1)),
      {"65 dimensions"});
  bad(PTensor(PStorage("0", 1ull << 60), 0, {1}, {1}), {"storage '0'", "more than the file's"});
  bad(PTensor(PStorage("0", 6, "float32"), 0, {1}, {1}), {"a storage's class is none"});
  ExpectRefused(ErrorCode::kBadFile, PthZip(PDone(PTensor(PInt(3), 0, {1}, {1}))),
                {"a tensor without a storage", "while reading tensor 'tensor'"});
}

TEST_F(Pth, RefusesStoragesThatContradictTheFile) {
  const string tensor = PTensor(PStorage("0", 6), 0, {6}, {1});
  const auto w = PDone(PDict({{"w", tensor}}));
  ExpectRefused(ErrorCode::kBadFile, PthZip(w, {kSix + "x"}), {"needs 24 bytes", "has 25"});
  ExpectRefused(ErrorCode::kBadFile, PthZip(w, {}), {"archive/data/0 is missing"});
  ExpectRefused(ErrorCode::kBadFile, PthOld(w, {kSix + "1234"}), {"7 elements", "instead of 6"});
  ExpectRefused(ErrorCode::kBadFile, PthOld(w, {}), {"storage '0' is not in the list"});
  ExpectRefused(ErrorCode::kBadFile, PthOld(w, {kSix, kSix}), {"'1' in the list"});
  const string both = PDict({{"v", PTensor(PStorage("0", 5), 0, {5}, {1})}, {"w", tensor}});
  ExpectBad(both, {kSix}, {"20 bytes and 24 bytes"});
  const string old = PthOld(w, {kSix});
  ExpectRefused(ErrorCode::kBadFile, old.substr(0, old.size() - 1), {"it is truncated"});
}

TEST_F(Pth, NoticesDamagedBytes) {
  const string whole =
      PthZip(PDone(PDict({{"w", PTensor(PStorage("0", 6), 0, {6}, {1})}})), {kSix});
  string bytes = whole;
  bytes[bytes.find(kSix) + 5] ^= 1;
  ExpectRefused(ErrorCode::kBadFile, bytes, {"checksum", "while reading tensor 'w'"});
  bytes = whole;
  bytes[bytes.find("storage")] ^= 1;
  ExpectRefused(ErrorCode::kBadFile, bytes, {"checksum", "while reading the header"});
  EXPECT_EQ(internal::Crc32(Bytes("123456789")), 0xCBF43926u);  // the standard's check value
  const std::uint32_t first = internal::Crc32(Bytes("12345678901"));
  EXPECT_EQ(internal::Crc32(Bytes("2345"), first), internal::Crc32(Bytes("123456789012345")));
}

TEST_F(Pth, RefusesArchivesThatLie) {
  const string w = PDone(PDict({{"w", PTensor(PStorage("0", 6), 0, {6}, {1})}}));
  const auto refused = [&](ErrorCode code, const ZipFiles& files,
                           std::initializer_list<std::string_view> parts) {
    ExpectRefused(code, StoredZip(files), parts);
  };
  refused(ErrorCode::kBadFile, {{"a.txt", "x"}}, {"0 entries with the name data.pkl"});
  refused(ErrorCode::kBadFile, {{"a/data.pkl", w}, {"b/data.pkl", w}}, {"2 entries"});
  refused(ErrorCode::kBadFile, {{"a/data.pkl", w}, {"a/data.pkl", w}}, {"comes twice"});
  refused(ErrorCode::kUnsupported, {{"a/data.pkl", w}, {"a/constants.pkl", w}}, {"TorchScript"});
  refused(ErrorCode::kUnsupported, {{"a/data.pkl", w}, {"a/byteorder", "big"}}, {"order 'big'"});

  const string whole = PthZip(w, {kSix});
  string bytes = whole;
  const std::size_t central = bytes.find("PK\x01\x02");
  bytes[central + 10] = 8;  // method
  ExpectRefused(ErrorCode::kUnsupported, bytes, {"'archive/data.pkl' is compressed", "zip -0"});
  bytes = whole;
  bytes[central + 20] ^= 1;  // packed size
  ExpectRefused(ErrorCode::kBadFile, bytes, {"stored, but with the sizes"});
  bytes = whole;
  const std::size_t second = bytes.find("PK\x01\x02", central + 1);
  bytes.replace(second + 42, 4, Little(0, 4));  // the pickle's header
  ExpectRefused(ErrorCode::kBadFile, bytes, {"begins at 0"});
  bytes = whole;
  bytes.replace(second + 20, 8, Little(1u << 30, 4) + Little(1u << 30, 4));
  ExpectRefused(ErrorCode::kBadFile, bytes, {"has 1073741824 bytes"});
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 300) {
    const InputFile file(Write("cut.pth", whole.substr(0, size)));
    ExpectError(ErrorCode::kBadFile, {"cut.pth"}, [&] { ReadPthHeader(file); });
  }
}

// Property: any cut of the older format, and any changed byte of its pickles, ends in an Error or
// in entries that lie in the file; nothing else.
TEST_F(Pth, SurvivesAnyChangedByte) {
  const string whole =
      PthOld(PDone(PDict({{"w", PTensor(PStorage("0", 6), 0, {2, 3}, {3, 1})}})), {kSix});
  const auto read = [&](const string& bytes) {
    try {
      const InputFile file(Write("changed.pth", bytes));
      for (const PthEntry& entry : ReadPthHeader(file).entries) {
        EXPECT_LE(entry.end, bytes.size());
        EXPECT_EQ(ReadPthTensor(file, entry).size() * 8,
                  static_cast<std::size_t>(ElementCount(entry.shape)) * DTypeBits(entry.dtype));
      }
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  EXPECT_TRUE(read(whole));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    EXPECT_FALSE(read(whole.substr(0, i))) << i;
    for (const char change : {'\x01', '\x80', '\xff', '\x6f'}) {
      string bytes = whole;
      bytes[i] = static_cast<char>(bytes[i] ^ change);
      read(bytes);
    }
  }
}

TEST_F(Pth, BoundsWhatAFileCanMakeOfLittle) {
  // A list inside itself.
  ExpectBad(
      "]q\x01h\x01"
      "a",
      {}, {"inside itself"});
  ExpectBad(string(100, ']') + string(99, 'a'), {}, {"over 64 dicts"});
  // Each list holds the one before it twice: 2^60 visits.
  string bomb = "]q";
  bomb += '\0';
  for (char i = 0; i < 60; ++i) {
    bomb += string("](h") + i + "h" + i + "eq" + static_cast<char>(i + 1);
  }
  ExpectBad(bomb, {}, {"over 128 MiB"});
  ExpectBad(PDict({{string(5000, 'k'), "N"}}), {}, {"a name of 5000 bytes"});
  ExpectBad("X" + Little(0xFFFFFFF0u, 4), {}, {"a text of 4294967280 bytes"});
  ExpectBad("c" + string(2000, 'm'), {}, {"a name of over 1024 bytes"});
  ExpectBad(PDict({{"a", "N"}, {"a", "N"}}), {}, {"key 'a' comes twice"});
  ExpectBad(PInt(3), {}, {"holds no dict"}, ErrorCode::kUnsupported);
  ExpectBad("}(" + PTuple({1}) + "Nu", {}, {"key is neither"}, ErrorCode::kUnsupported);
}

TEST_F(Pth, RefusesMalformedPickles) {
  const std::pair<string, string> kPickles[] = {
      {"", "nothing on its stack"},
      {"0", "nothing on its stack"},
      {"(t0", "nothing on its stack"},
      {"t", "no mark"},
      {"h\x07", "a reference to its value 7"},
      {"Na", "no list under"},
      {"}(Nu", "a key without a value"},
      {"](NNu", "no dict under"},
      {"}Nb", "attributes that are no dict"},
      {PGlobal("torch", "FloatStorage") + ")R", "a call of 'torch FloatStorage'"},
      {"N)R", "no name to call under"},
      {PGlobal("collections", "OrderedDict") + "](K\x01"
                                               "e\x85R",
       "other things than pairs"},
      {"}(" + PText("w") + PGlobal("torch._utils", "_rebuild_parameter") + ")Ru",
       "a parameter without"},
  };
  for (const auto& [pickle, part] : kPickles) {
    SCOPED_TRACE(part);
    ExpectBad(pickle, {}, {part});
  }
  ExpectRefused(ErrorCode::kBadFile, PthZip("\x80\x02}"), {"goes on beyond byte"});
  ExpectRefused(ErrorCode::kUnsupported, PthZip("\x80\x09}."), {"the protocol 9"});
  ExpectRefused(ErrorCode::kBadFile, "hello, world", {"begins with 'hell'"});
  ExpectRefused(ErrorCode::kBadFile, "", {"begins with ''"});
  ExpectRefused(ErrorCode::kBadFile, "version https://git-lfs", {"git lfs pull"});
}

TEST_F(Pth, ReadsWhatItWrote) {
  std::vector<PthTensor> tensors;
  std::vector<string> contents;
  contents.reserve(32);
  for (int type = 1; type <= static_cast<int>(DType::kFloat8E8M0); ++type) {
    const auto dtype = static_cast<DType>(type);
    string bytes;
    for (std::size_t i = 0; i < 6 * DTypeBits(dtype) / 8; ++i)
      bytes += static_cast<char>(i * 7 + 1);
    contents.push_back(bytes);
    tensors.push_back({string(DTypeName(dtype)) + "é", dtype, {2, 3}, Bytes(contents.back())});
  }
  tensors.push_back({"scalar", DType::kInt64, {}, Bytes(contents[0]).first(8)});
  tensors.push_back({"empty", DType::kFloat32, {3, 0, 2}, {}});
  WritePth(Path("a.pth"), Overwrite::kNo, tensors);
  WritePth(Path("b.pth"), Overwrite::kNo, tensors);
  EXPECT_EQ(Read(Path("a.pth")), Read(Path("b.pth")));
  const InputFile file(Path("a.pth"));
  EXPECT_TRUE(IsPth(file));
  const PthHeader header = ReadPthHeader(file);
  ASSERT_EQ(header.entries.size(), tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const PthEntry& entry = header.entries[i];
    EXPECT_EQ(entry.name, tensors[i].name);
    EXPECT_EQ(entry.dtype, tensors[i].dtype);
    EXPECT_EQ(entry.shape, tensors[i].shape);
    EXPECT_TRUE(entry.IsContiguous());
    EXPECT_TRUE(entry.checksum.has_value());
    EXPECT_EQ(entry.begin % 64, 0u);
    EXPECT_EQ(TextOf(ReadPthTensor(file, entry)), TextOf(tensors[i].bytes));
  }
  WritePth(Path("none.pth"), Overwrite::kNo, {});
  EXPECT_EQ(ReadPthHeader(InputFile(Path("none.pth"))).entries.size(), 0u);
}

// Property: changed tensors have their new values, all else and all checksums hold.
TEST_F(Pth, RewritesSomeTensors) {
  const string pickle = PDone(PDict({{"epoch", "K\x03"},
                                     {"columns", PTensor(PStorage("0", 6), 0, {2, 2}, {1, 3})},
                                     {"last", PTensor(PStorage("0", 6), 5, {1}, {1})},
                                     {"other", PTensor(PStorage("1", 2), 0, {2}, {1})},
                                     {"empty", PTensor(PStorage("1", 2), 2, {0}, {1})}}));
  const string two = Floats({8, 9});
  const string columns = Floats({-1, -2, -3, -4});
  const string last = Floats({-5});
  for (const string& bytes : {PthZip(pickle, {kSix, two}), PthOld(pickle, {kSix, two})}) {
    const InputFile file(Write("in.pth", bytes));
    const PthHeader header = ReadPthHeader(file);
    const auto rewrite = [&](const std::vector<PthChange>& changes) {
      AtomicFile output(Path("out.pth"), Overwrite::kYes);
      RewritePth(file, output, changes);
      output.Commit();
    };
    rewrite({{header.entries[1], Bytes(last)},
             {header.entries[0], Bytes(columns)},
             {header.entries[3], {}}});
    EXPECT_EQ(Described(InputFile(Path("out.pth"))),
              ":columns float32 2x2 = -1 -2 -3 -4\n"
              ":last float32 1 = -5\n"
              ":other float32 2 = 8 9\n"
              ":empty float32 0 =\n");
    string want = bytes;
    want.replace(want.find(kSix), kSix.size(), Floats({-1, -3, 2, -2, -4, -5}));
    const string got = Read(Path("out.pth"));
    std::size_t different = 0;
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) different += got[i] != want[i] ? 1 : 0;
    EXPECT_LE(different, bytes.starts_with("PK") ? 8u : 0u);  // the checksum, twice
    rewrite({});
    EXPECT_EQ(Read(Path("out.pth")), bytes);
    ExpectError(ErrorCode::kShapeMismatch, {"'last'", "16 bytes"}, [&] {
      rewrite({{header.entries[1], Bytes(columns)}});
    });
  }
}

TEST_F(Pth, RefusesToWriteWhatPyTorchCannotRead) {
  const auto refused = [&](ErrorCode code, const std::vector<PthTensor>& tensors,
                           std::initializer_list<std::string_view> parts) {
    ExpectError(code, parts, [&] { WritePth(Path("x.pth"), Overwrite::kNo, tensors); });
    EXPECT_EQ(Names().size(), 0u);
  };
  const auto four = Bytes("1234");
  refused(ErrorCode::kUnsupported, {{"w", DType::kInt4, {8}, four}}, {"'w'", "no type int4"});
  refused(ErrorCode::kShapeMismatch, {{"w", DType::kFloat32, {2}, four}}, {"4 bytes", "shape 2"});
  refused(ErrorCode::kShapeMismatch, {{"w", DType::kInt16, {1}, four.first(3)}}, {"3 bytes"});
  refused(ErrorCode::kInvalidArgument,
          {{"w", DType::kInt8, {4}, four}, {"w", DType::kInt8, {4}, four}}, {"'w' comes twice"});
  refused(ErrorCode::kUnsupported, {{"w", DType::kInt8, Dims(65, 1), four.first(1)}},
          {"65 dimensions"});
}

TEST_F(Pth, ReadsTheSharedCheckpoint) {
  const char* const shared = std::getenv("ESPALIER_SHARED");
  const std::filesystem::path path =
      std::filesystem::path(shared != nullptr ? shared : ESPALIER_SOURCE_DIR "/../shared") /
      "models/cifar_resnet20.pth";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  const InputFile file(path);
  const PthHeader header = ReadPthHeader(file);
  const std::vector<PthEntry> entries = StateDictOf(header);
  ASSERT_EQ(entries.size(), 97u);
  EXPECT_EQ(entries[0].name, "module.conv1.weight");
  EXPECT_EQ(entries[0].shape, (Dims{16, 3, 3, 3}));
  EXPECT_EQ(entries[0].place, "state_dict");
  ASSERT_EQ(header.values.size(), 1u);
  EXPECT_EQ(header.values[0].name, "best_prec1");
  std::int64_t parameters = 0;
  for (const PthEntry& entry : entries) {
    const std::vector<std::byte> bytes = ReadPthTensor(file, entry);
    const bool statistics = entry.name.find("running_") != string::npos;
    if (!statistics) parameters += static_cast<std::int64_t>(bytes.size() / 4);
  }
  EXPECT_EQ(parameters, 269722);  // ResNet-20's 0.27 million
}

}  // namespace
}  // namespace espalier
