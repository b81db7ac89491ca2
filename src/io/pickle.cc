#include "io/pickle.h"

#include <fmt/format.h>

#include <array>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "espalier/base/error.h"
#include "io/pickle_reader.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

using Kind = PickleValue::Kind;
using Role = PickleRole;

constexpr std::size_t kMostObjects = std::size_t{1} << 22;
constexpr std::size_t kMostValues = std::size_t{1} << 24;

// Opcodes that are handled, by pickletools' names.
enum Op : unsigned char {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinFloat = 'G',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kEmptyList = ']',
  kEmptyDict = '}',
  kEmptyTuple = ')',
  kAppend = 'a',
  kAppends = 'e',
  kSetItem = 's',
  kSetItems = 'u',
  kTuple = 't',
  kBuild = 'b',
  kGlobal = 'c',
  kReduce = 'R',
  kBinPersId = 'Q',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kProto = 0x80,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kShortBinUnicode = 0x8c,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

class Machine {
 public:
  Machine(const InputFile& file, std::uint64_t begin, std::uint64_t end)
      : reader_(file, begin, end) {}

  Pickle Run() {
    for (;;) {
      at_ = reader_.position();
      const unsigned op = reader_.Byte();
      if (op == kStop) break;
      if (!Scalar(op) && !Text(op) && !Container(op) && !Memo(op) && !Object(op)) {
        Refuse(ErrorCode::kUnsupported, fmt::format("the opcode {:#04x}", op));
      }
      if (Load() > kMostValues) {
        Refuse(ErrorCode::kBadFile, fmt::format("over {} values", kMostValues));
      }
    }
    pickle_.root = Pop();
    pickle_.end = reader_.position();
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void Refuse(ErrorCode code, std::string_view what) const {
    throw Error(code, fmt::format("the pickle has {} at byte {}", what, at_));
  }

  // Values in memory, by 16 bytes.
  std::size_t Load() const {
    return stack_.size() + items_ + marks_.size() + 3 * (memo_.size() + pickle_.texts.size());
  }

  void Push(Kind kind, std::int64_t bits = 0) { stack_.push_back({kind, bits}); }

  PickleValue Pop() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) {
      Refuse(ErrorCode::kBadFile, "nothing on its stack");
    }
    const PickleValue value = stack_.back();
    stack_.pop_back();
    return value;
  }

  PickleValue& Top(Kind kind, std::string_view name) {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()) || stack_.back().kind != kind) {
      Refuse(ErrorCode::kBadFile, fmt::format("no {} under an opcode for one", name));
    }
    return stack_.back();
  }

  std::vector<PickleValue> PopMark() {
    if (marks_.empty()) Refuse(ErrorCode::kBadFile, "no mark on its stack");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue> values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }

  void PushObject(Kind kind, std::vector<PickleValue> items) {
    if (pickle_.objects.size() == kMostObjects) {
      Refuse(ErrorCode::kBadFile, fmt::format("over {} containers", kMostObjects));
    }
    items_ += items.size();
    Push(kind, static_cast<std::int64_t>(pickle_.objects.size()));
    pickle_.objects.push_back(std::move(items));
  }

  void PushText(std::string text) {
    Push(Kind::kText, static_cast<std::int64_t>(pickle_.texts.size()));
    pickle_.texts.push_back(std::move(text));
  }

  void Extend(const PickleValue& container, std::span<const PickleValue> values) {
    auto& items = pickle_.objects[container.Number()];
    items.insert(items.end(), values.begin(), values.end());
    items_ += values.size();
  }

  bool Scalar(unsigned op);
  bool Text(unsigned op);
  bool Container(unsigned op);
  bool Memo(unsigned op);
  bool Object(unsigned op);
  void PushLong(std::uint64_t size);
  void PushTuple(std::size_t size);
  void PushGlobal(std::string_view module, std::string_view name);
  void Put(std::uint64_t number);
  void Get(std::uint64_t number);
  void Reduce();
  void PushOrderedDict(const std::vector<PickleValue>& arguments);
  void Build();

  PickleReader reader_;
  std::uint64_t at_ = 0;  // offset of the opcode in work
  Pickle pickle_;
  std::vector<PickleValue> stack_;
  std::vector<std::size_t> marks_;  // sizes of the stack
  std::size_t items_ = 0;           // values in containers
  std::unordered_map<std::uint32_t, PickleValue> memo_;
};

bool Machine::Scalar(unsigned op) {
  switch (op) {
    case kProto: {
      const unsigned protocol = reader_.Byte();
      if (protocol < 2 || protocol > 5) {
        Refuse(ErrorCode::kUnsupported, fmt::format("the protocol {}", protocol));
      }
      return true;
    }
    case kFrame:
      return reader_.Whole(8), true;  // frames are only for reading ahead
    case kNone:
      return Push(Kind::kNone), true;
    case kNewTrue:
      return Push(Kind::kBool, 1), true;
    case kNewFalse:
      return Push(Kind::kBool, 0), true;
    case kBinInt1:
      return Push(Kind::kInt, reader_.Byte()), true;
    case kBinInt2:
      return Push(Kind::kInt, static_cast<std::int64_t>(reader_.Whole(2))), true;
    case kBinInt:
      return Push(Kind::kInt, static_cast<std::int32_t>(reader_.Whole(4))), true;
    case kLong1:
      return PushLong(reader_.Byte()), true;
    case kBinFloat: {
      std::uint64_t bits = 0;  // big-endian, alone among the opcodes
      for (int i = 0; i < 8; ++i) bits = bits << 8 | reader_.Byte();
      return Push(Kind::kFloat, static_cast<std::int64_t>(bits)), true;
    }
    default:
      return false;
  }
}

void Machine::PushLong(std::uint64_t size) {
  if (size > 8) {
    reader_.Text(size);
    return Push(Kind::kBigInt);
  }
  const int bytes = static_cast<int>(size);
  std::uint64_t value = reader_.Whole(bytes);
  // Two's complement of the bytes that are there.
  if (bytes > 0 && bytes < 8 && (value >> (8 * bytes - 1)) != 0)
    value |= ~std::uint64_t{0} << (8 * bytes);
  Push(Kind::kInt, static_cast<std::int64_t>(value));
}

bool Machine::Text(unsigned op) {
  switch (op) {
    case kShortBinString:
    case kShortBinBytes:
    case kShortBinUnicode:
      return PushText(reader_.Text(reader_.Byte())), true;
    case kBinString:
    case kBinBytes:
    case kBinUnicode:
      return PushText(reader_.Text(reader_.Whole(4))), true;
    default:
      return false;
  }
}

void Machine::PushTuple(std::size_t size) {
  std::vector<PickleValue> items(size);
  for (std::size_t i = size; i-- > 0;) items[i] = Pop();
  PushObject(Kind::kTuple, std::move(items));
}

bool Machine::Container(unsigned op) {
  switch (op) {
    case kEmptyTuple:
      return PushObject(Kind::kTuple, {}), true;
    case kEmptyList:
    case kEmptySet:
      return PushObject(Kind::kList, {}), true;
    case kEmptyDict:
      return PushObject(Kind::kDict, {}), true;
    case kMark:
      return marks_.push_back(stack_.size()), true;
    case kTuple:
      return PushObject(Kind::kTuple, PopMark()), true;
    case kTuple1:
    case kTuple2:
    case kTuple3:
      return PushTuple(op - kTuple1 + 1), true;
    case kAppend: {
      const PickleValue item = Pop();
      return Extend(Top(Kind::kList, "list"), std::span(&item, 1)), true;
    }
    case kAppends:
    case kAddItems: {
      const std::vector<PickleValue> items = PopMark();
      return Extend(Top(Kind::kList, "list"), items), true;
    }
    case kSetItem: {
      const PickleValue value = Pop();
      const std::array<PickleValue, 2> item = {Pop(), value};
      return Extend(Top(Kind::kDict, "dict"), item), true;
    }
    case kSetItems: {
      const std::vector<PickleValue> items = PopMark();
      if (items.size() % 2 != 0) Refuse(ErrorCode::kBadFile, "a key without a value");
      return Extend(Top(Kind::kDict, "dict"), items), true;
    }
    default:
      return false;
  }
}

void Machine::Put(std::uint64_t number) {
  const PickleValue value = Pop();
  stack_.push_back(value);
  memo_[static_cast<std::uint32_t>(number)] = value;
}

void Machine::Get(std::uint64_t number) {
  const auto found = memo_.find(static_cast<std::uint32_t>(number));
  if (found == memo_.end()) {
    Refuse(ErrorCode::kBadFile,
           fmt::format("a reference to its value {}, which is not there", number));
  }
  stack_.push_back(found->second);
}

bool Machine::Memo(unsigned op) {
  switch (op) {
    case kBinPut:
      return Put(reader_.Byte()), true;
    case kLongBinPut:
      return Put(reader_.Whole(4)), true;
    case kMemoize:
      return Put(memo_.size()), true;
    case kBinGet:
      return Get(reader_.Byte()), true;
    case kLongBinGet:
      return Get(reader_.Whole(4)), true;
    case kPop:
      // As Python does it: a mark on top is popped in place of a value.
      if (!marks_.empty() && marks_.back() == stack_.size()) return marks_.pop_back(), true;
      return Pop(), true;
    case kPopMark:
      return PopMark(), true;
    default:
      return false;
  }
}

bool Machine::Object(unsigned op) {
  switch (op) {
    case kGlobal: {
      const std::string module = reader_.Line();
      return PushGlobal(module, reader_.Line()), true;
    }
    case kStackGlobal: {
      const PickleValue name = Top(Kind::kText, "text");
      Pop();
      const PickleValue module = Top(Kind::kText, "text");
      Pop();
      return PushGlobal(pickle_.texts[module.Number()], pickle_.texts[name.Number()]), true;
    }
    case kReduce:
      return Reduce(), true;
    case kBuild:
      return Build(), true;
    case kBinPersId: {
      pickle_.storages.push_back(static_cast<std::uint32_t>(pickle_.objects.size()));
      return PushObject(Kind::kStorage, {Pop()}), true;
    }
    default:
      return false;
  }
}

void Machine::PushGlobal(std::string_view module, std::string_view name) {
  const std::string full = fmt::format("{} {}", module, name);
  if (const auto number = FindGlobal(full)) return Push(Kind::kGlobal, *number);
  throw Error(ErrorCode::kUnsupported,
              fmt::format("the pickle asks for {} at byte {}; nothing is executed here, only dicts "
                          "of tensors and plain values are read: save model.state_dict() alone",
                          Quote(fmt::format("{}.{}", module, name)), at_));
}

// What calling the global with the tuple on top would give.
void Machine::Reduce() {
  const PickleValue tuple = Top(Kind::kTuple, "tuple");
  Pop();
  const PickleValue global = Top(Kind::kGlobal, "name to call");
  Pop();
  const std::vector<PickleValue>& arguments = pickle_.objects[tuple.Number()];
  const auto single = [&](Kind kind) { return arguments.size() == 1 && arguments[0].kind == kind; };
  switch (GlobalOf(global).role) {
    case Role::kOrderedDict:
      return PushOrderedDict(arguments);
    case Role::kSet:
      if (arguments.empty()) return PushObject(Kind::kList, {});
      if (single(Kind::kList)) return stack_.push_back(arguments[0]);
      break;
    case Role::kSize:
      if (single(Kind::kTuple)) return stack_.push_back(arguments[0]);
      break;
    case Role::kEncode:
      if (!arguments.empty() && arguments[0].kind == Kind::kText) {
        return stack_.push_back(arguments[0]);
      }
      break;
    case Role::kDevice:
      return Push(Kind::kNone);
    case Role::kTensor:
    case Role::kTensorV2:
    case Role::kTensorV3:
    case Role::kParameter:
      return PushObject(Kind::kCall, {global, tuple});
    case Role::kStorage:
    case Role::kDType:
      break;
  }
  Refuse(ErrorCode::kBadFile,
         fmt::format("a call of {} with wrong arguments", Quote(GlobalOf(global).name)));
}

// OrderedDict(), and Python 2's OrderedDict([[key, value], ...]).
void Machine::PushOrderedDict(const std::vector<PickleValue>& arguments) {
  std::vector<PickleValue> items;
  if (!arguments.empty()) {
    if (arguments.size() > 1 || arguments[0].kind != Kind::kList) {
      Refuse(ErrorCode::kBadFile, "an OrderedDict of other arguments than one list");
    }
    for (const PickleValue& pair : pickle_.objects[arguments[0].Number()]) {
      const bool holds = pair.kind == Kind::kList || pair.kind == Kind::kTuple;
      if (!holds || pickle_.objects[pair.Number()].size() != 2) {
        Refuse(ErrorCode::kBadFile, "an OrderedDict of other things than pairs");
      }
      const auto& two = pickle_.objects[pair.Number()];
      items.insert(items.end(), two.begin(), two.end());
    }
  }
  PushObject(Kind::kDict, std::move(items));
}

// Attributes of a dict, as a state dict's _metadata, are left out.
void Machine::Build() {
  const PickleValue state = Pop();
  Top(Kind::kDict, "dict");
  if (state.kind != Kind::kDict) Refuse(ErrorCode::kBadFile, "attributes that are no dict");
}

}  // namespace

Pickle ReadPickle(const InputFile& file, std::uint64_t begin, std::uint64_t end) {
  return Machine(file, begin, end).Run();
}

}  // namespace espalier::internal
