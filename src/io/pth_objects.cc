#include "io/pth_objects.h"

#include <fmt/format.h>

#include <limits>
#include <set>
#include <span>
#include <utility>

#include "espalier/base/error.h"
#include "io/limits.h"
#include "io/text.h"

namespace espalier::internal {
namespace {

using Kind = PickleValue::Kind;
using Role = PickleRole;
using Values = std::span<const PickleValue>;

constexpr int kMostDepth = 64;
// A place is repeated for each tensor in it: a file of long ones would otherwise grow in memory.
constexpr std::size_t kMostNameBytes = 4096;
constexpr std::size_t kMostOutputBytes = std::size_t{128} << 20;

[[noreturn]] void Bad(const std::string& text) { throw Error(ErrorCode::kBadFile, text); }

[[noreturn]] void Unsupported(const std::string& text) {
  throw Error(ErrorCode::kUnsupported, text);
}

Values ItemsOf(const Pickle& pickle, const PickleValue& value, Kind kind, std::string_view what) {
  if (value.kind != kind) Bad(fmt::format("{} has another type than PyTorch writes", what));
  return pickle.objects[value.Number()];
}

std::uint64_t WholeOf(const PickleValue& value, std::string_view what) {
  if (value.kind != Kind::kInt || value.bits < 0) {
    Bad(fmt::format("{} is no whole number of 0 or more", what));
  }
  return static_cast<std::uint64_t>(value.bits);
}

const std::string& TextOf(const Pickle& pickle, const PickleValue& value, std::string_view what) {
  if (value.kind != Kind::kText) Bad(fmt::format("{} is no text", what));
  return pickle.texts[value.Number()];
}

// ('storage', class, key, device, elements), and in the older format a view: None or a tuple.
Values StorageTuple(const Pickle& pickle, std::uint32_t object) {
  const PickleValue id = pickle.objects[object].front();
  const Values fields = ItemsOf(pickle, id, Kind::kTuple, "a storage's id");
  if (fields.size() < 5 || fields.size() > 6) {
    Bad(fmt::format("a storage's id has {} fields instead of 5 or 6", fields.size()));
  }
  if (TextOf(pickle, fields[0], "a storage's kind") != "storage") {
    Bad(fmt::format("an id of kind {} instead of 'storage'",
                    Quote(pickle.texts[fields[0].Number()])));
  }
  if (fields[1].kind != Kind::kGlobal || GlobalOf(fields[1]).role != Role::kStorage) {
    Bad("a storage's class is none");
  }
  if (fields.size() == 6 && fields[5].kind != Kind::kNone) {
    Unsupported("a storage that is a view of another; load the file in PyTorch and save it again");
  }
  return fields;
}

std::uint64_t BytesOf(DType dtype) { return dtype == DType::kUnknown ? 1 : DTypeBits(dtype) / 8; }

// Walks through the pickle's dicts and lists.
class Collector {
 public:
  Collector(const Pickle& pickle, const PthStorages& storages, std::uint64_t file_size)
      : pickle_(pickle), storages_(storages), file_size_(file_size) {}

  PthHeader Run() {
    if (pickle_.root.kind == Kind::kCall) {
      Visit("", "tensor", pickle_.root, 0);
    } else {
      VisitItems("", pickle_.root, 0);
    }
    return std::move(header_);
  }

 private:
  void Visit(const std::string& place, const std::string& name, const PickleValue& value,
             int depth);
  void VisitItems(const std::string& place, const PickleValue& value, int depth);
  void AddTensor(const std::string& place, const std::string& name, const PickleValue& call);
  std::string KeyText(const PickleValue& key) const;
  void Count(const std::string& place, const std::string& name, std::size_t more);
  PthEntry Tensor(const PickleValue& call, int depth) const;
  PthEntry View(Values arguments, Role role) const;
  void CheckPlace(PthEntry& entry, const PthStorage& storage, std::uint64_t offset) const;

  const Pickle& pickle_;
  const PthStorages& storages_;
  const std::uint64_t file_size_;
  PthHeader header_;
  std::size_t output_bytes_ = 0;
};

std::string Collector::KeyText(const PickleValue& key) const {
  if (key.kind == Kind::kText) return pickle_.texts[key.Number()];
  if (key.kind == Kind::kInt) return fmt::to_string(key.bits);
  Unsupported("a dict's key is neither a text nor a whole number");
}

void Collector::Count(const std::string& place, const std::string& name, std::size_t more) {
  if (place.size() + name.size() > kMostNameBytes) {
    Bad(fmt::format("a name of {} bytes; the limit is {}", place.size() + name.size(),
                    kMostNameBytes));
  }
  constexpr std::size_t kVisit = 256;  // also for what gives no output, so that it ends
  output_bytes_ += place.size() + name.size() + more + kVisit;
  if (output_bytes_ > kMostOutputBytes) {
    Bad(fmt::format("names and values of over {} MiB; parts that repeat others may be the cause",
                    kMostOutputBytes >> 20));
  }
}

void Collector::VisitItems(const std::string& place, const PickleValue& value, int depth) {
  if (depth == kMostDepth) {
    Bad(fmt::format("over {} dicts and lists inside each other, or one inside itself, at {}",
                    kMostDepth, Quote(place)));
  }
  if (value.kind != Kind::kDict && value.kind != Kind::kList && value.kind != Kind::kTuple) {
    Unsupported("the file holds no dict of tensors");
  }
  const Values items = pickle_.objects[value.Number()];
  if (value.kind != Kind::kDict) {
    for (std::size_t i = 0; i < items.size(); ++i) {
      Visit(place, fmt::to_string(i), items[i], depth);
    }
    return;
  }
  std::set<std::string> names;
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    const std::string name = KeyText(items[i]);
    if (!names.insert(name).second) Bad(fmt::format("the key {} comes twice", Quote(name)));
    Visit(place, name, items[i + 1], depth);
  }
}

void Collector::AddTensor(const std::string& place, const std::string& name,
                          const PickleValue& call) {
  try {
    PthEntry entry = Tensor(call, 0);
    entry.place = place;
    entry.name = name;
    Count(place, name, sizeof(PthEntry) + 16 * entry.shape.size());
    header_.entries.push_back(std::move(entry));
  } catch (Error& error) {
    error.AddContext(fmt::format("reading tensor {}{}", Quote(name),
                                 place.empty() ? "" : " in " + Quote(place)));
    throw;
  }
}

void Collector::Visit(const std::string& place, const std::string& name, const PickleValue& value,
                      int depth) {
  Count(place, name, 0);
  switch (value.kind) {
    case Kind::kDict:
    case Kind::kList:
    case Kind::kTuple:
      return VisitItems(place.empty() ? name : fmt::format("{}/{}", place, name), value, depth + 1);
    case Kind::kCall:
      return AddTensor(place, name, value);
    case Kind::kBool:
      header_.values.push_back({place, name, value.bits != 0});
      return;
    case Kind::kInt:
      header_.values.push_back({place, name, value.bits});
      return;
    case Kind::kFloat:
      header_.values.push_back({place, name, value.Float()});
      return;
    case Kind::kText: {
      const std::string& text = pickle_.texts[value.Number()];
      Count(place, name, text.size());
      header_.values.push_back({place, name, text});
      return;
    }
    case Kind::kNone:
    case Kind::kBigInt:
    case Kind::kGlobal:
    case Kind::kStorage:
      return;  // nothing that a user could need by name
  }
}

PthEntry Collector::Tensor(const PickleValue& call, int depth) const {
  if (call.kind != Kind::kCall) Bad("a parameter without a tensor");
  const Values parts = pickle_.objects[call.Number()];
  const Role role = GlobalOf(parts[0]).role;
  const Values arguments = pickle_.objects[parts[1].Number()];
  if (role != Role::kParameter) return View(arguments, role);
  if (arguments.empty() || depth > 0) Bad("a parameter without a tensor");
  return Tensor(arguments[0], depth + 1);
}

PthEntry Collector::View(Values arguments, Role role) const {
  const std::size_t need = role == Role::kTensor ? 4 : role == Role::kTensorV2 ? 6 : 7;
  const std::size_t most = role == Role::kTensor ? need : need + 1;
  if (arguments.size() < need || arguments.size() > most) {
    Bad(fmt::format("{} arguments for a tensor instead of {}", arguments.size(), need));
  }
  if (arguments.size() > need && arguments[need].kind != Kind::kNone) {
    const Values metadata = ItemsOf(pickle_, arguments[need], Kind::kDict, "metadata");
    if (!metadata.empty()) Unsupported("a conjugated or negated view; save a clone() of it");
  }
  if (arguments[0].kind != Kind::kStorage) Bad("a tensor without a storage");
  const Values fields = StorageTuple(pickle_, arguments[0].Number());
  const PthStorage& storage = storages_.at(TextOf(pickle_, fields[2], "a storage's key"));
  PthEntry entry;
  entry.dtype = GlobalOf(fields[1]).dtype;
  if (role == Role::kTensorV3) {
    const PickleValue& dtype = arguments[6];
    if (dtype.kind != Kind::kGlobal || GlobalOf(dtype).role != Role::kDType) Bad("no dtype");
    entry.dtype = GlobalOf(dtype).dtype;
  }
  if (entry.dtype == DType::kUnknown) Bad("a storage of bytes for a tensor without a dtype");
  const Values sizes = ItemsOf(pickle_, arguments[2], Kind::kTuple, "its shape");
  const Values strides = ItemsOf(pickle_, arguments[3], Kind::kTuple, "its strides");
  if (sizes.size() != strides.size() || sizes.size() > kMostDimensions) {
    Bad(fmt::format("{} dimensions with {} strides; up to {} of both are possible", sizes.size(),
                    strides.size(), kMostDimensions));
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    entry.shape.push_back(static_cast<std::int64_t>(WholeOf(sizes[i], "a dimension")));
    entry.strides.push_back(static_cast<std::int64_t>(WholeOf(strides[i], "a stride")));
  }
  CheckPlace(entry, storage, WholeOf(arguments[1], "its offset"));
  return entry;
}

// Sets begin, end and checksum, after a check that all elements lie in the storage.
void Collector::CheckPlace(PthEntry& entry, const PthStorage& storage, std::uint64_t offset) const {
  const std::uint64_t element = BytesOf(entry.dtype);
  const std::uint64_t room = storage.bytes / element;  // elements
  const auto count = static_cast<std::uint64_t>(ElementCount(entry.shape));
  if (count > file_size_ / element) {
    Bad(fmt::format("shape {} of {} is more than the file's {} bytes", DimsText(entry.shape),
                    DTypeName(entry.dtype), file_size_));
  }
  std::uint64_t reach = count > 0 ? 1 : 0;  // elements from the first to the last
  for (std::size_t i = 0; count > 0 && i < entry.shape.size(); ++i) {
    const auto steps = static_cast<std::uint64_t>(entry.shape[i] - 1);
    const auto stride = static_cast<std::uint64_t>(entry.strides[i]);
    if (steps > 0 && stride > (room - std::min(reach, room)) / steps) {
      Bad(fmt::format("shape {} with strides {} goes beyond its storage of {} elements",
                      DimsText(entry.shape), DimsText(entry.strides), room));
    }
    reach += steps * stride;
  }
  if (offset > room || reach > room - offset) {
    Bad(fmt::format("{} elements from element {} on, but its storage has {}", reach, offset, room));
  }
  entry.begin = storage.begin + offset * element;
  entry.end = entry.begin + reach * element;
  if (entry.end - entry.begin == storage.bytes) entry.checksum = storage.checksum;
}

}  // namespace

PthStorages CollectStorages(const Pickle& pickle, std::uint64_t file_size) {
  PthStorages storages;
  for (const std::uint32_t object : pickle.storages) {
    const Values fields = StorageTuple(pickle, object);
    const std::string& key = TextOf(pickle, fields[2], "a storage's key");
    const std::uint64_t elements = WholeOf(fields[4], "a storage's size");
    const DType dtype = GlobalOf(fields[1]).dtype;
    if (elements > file_size / BytesOf(dtype)) {
      Bad(fmt::format("storage {} has {} elements, more than the file's {} bytes", Quote(key),
                      elements, file_size));
    }
    PthStorage storage;
    storage.dtype = dtype;
    storage.bytes = elements * BytesOf(dtype);
    const auto [place, added] = storages.emplace(key, storage);
    if (!added && (place->second.dtype != dtype || place->second.bytes != storage.bytes)) {
      Bad(fmt::format("storage {} has {} bytes and {} bytes, or two types", Quote(key),
                      place->second.bytes, storage.bytes));
    }
  }
  return storages;
}

PthHeader CollectTensors(const Pickle& pickle, const PthStorages& storages,
                         std::uint64_t file_size) {
  return Collector(pickle, storages, file_size).Run();
}

}  // namespace espalier::internal
