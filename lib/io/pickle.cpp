#include "io/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::io {
namespace {

using Kind = PickledValue::Kind;

// Values can be recalled and used again, so a small file could ask for large copies. What is copied
// is therefore small.
constexpr size_t kMaxValues = 8'000'000;
constexpr size_t kMaxArguments = 16, kMaxDimensions = 16, kMaxKey = 64;

struct StorageType {
  std::string_view name;
  DType dtype;
};
constexpr std::array<StorageType, 10> kStorages = {{{"torch.FloatStorage", DType::kF32},
                                                    {"torch.DoubleStorage", DType::kF64},
                                                    {"torch.HalfStorage", DType::kF16},
                                                    {"torch.BFloat16Storage", DType::kBF16},
                                                    {"torch.LongStorage", DType::kI64},
                                                    {"torch.IntStorage", DType::kI32},
                                                    {"torch.ShortStorage", DType::kI16},
                                                    {"torch.CharStorage", DType::kI8},
                                                    {"torch.ByteStorage", DType::kU8},
                                                    {"torch.BoolStorage", DType::kBool}}};

// What a pickle may name. All of them build values; none is code.
constexpr std::array<std::string_view, 9> kGlobals = {"collections.OrderedDict",
                                                      "torch._utils._rebuild_tensor_v2",
                                                      "torch._utils._rebuild_parameter",
                                                      "torch.Size",
                                                      "torch._tensor._rebuild_from_type_v2",
                                                      "torch.Tensor",
                                                      "torch.device",
                                                      "torch.nn.parameter.Parameter",
                                                      "torch.dtype"};

constexpr std::array<std::string_view, 13> kTorchDTypes = {
    "float32", "float64", "float16", "bfloat16", "int64",     "int32",     "int16",
    "int8",    "uint8",   "bool",    "half",     "complex64", "complex128"};

// The stack machine. Every instruction makes at most one value, so memory stays in proportion to
// the pickle.
class Machine {
 public:
  Machine(std::span<const std::byte> bytes, const std::string& where)
      : bytes_(bytes), where_(where) {}

  Pickle Run() {
    while (Step()) {
    }
    pickle_.root = Pop();
    return std::move(pickle_);
  }

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    throw DataError(what, fmt::format("{}: pickle offset {}", where_, instruction_));
  }

  // --- bytes ---
  uint64_t Number(int width) {
    uint64_t value = 0;
    const auto raw = Take(static_cast<uint64_t>(width));
    for (int i = width - 1; i >= 0; --i)
      value = value << 8 | static_cast<uint64_t>(raw[static_cast<size_t>(i)]);
    return value;
  }
  std::span<const std::byte> Take(uint64_t count) {
    if (count > bytes_.size() - at_) Fail("pickle is cut short");
    at_ += count;
    return bytes_.subspan(at_ - count, count);
  }
  std::string Text(uint64_t count) {
    const auto raw = Take(count);
    return {reinterpret_cast<const char*>(raw.data()), raw.size()};
  }
  std::string Line() {
    std::string line;
    for (char c; (c = static_cast<char>(Number(1))) != '\n';) line += c;
    return line;
  }
  int64_t LongInteger(uint64_t width) {
    if (width > 8) Fail("integer of more than 64 bits");
    uint64_t value = width ? Number(static_cast<int>(width)) : 0;
    if (width > 0 && width < 8 && value >> (8 * width - 1) & 1) value |= ~0ull << 8 * width;
    return static_cast<int64_t>(value);
  }

  // --- stack ---
  PickledValue& At(uint32_t value) { return pickle_.values[value]; }
  void Push(uint32_t value) { stack_.push_back(value); }
  void Push(PickledValue value) {
    if (pickle_.values.size() == kMaxValues) Fail("pickle makes more than 8 million values");
    pickle_.values.push_back(std::move(value));
    Push(static_cast<uint32_t>(pickle_.values.size() - 1));
  }
  void Push(Kind kind, int64_t integer = 0) {
    Push(PickledValue{.kind = kind, .integer = integer});
  }
  void PushText(std::string text) {
    Push(PickledValue{.kind = Kind::kString, .text = std::move(text)});
  }
  uint32_t Top() const {
    if (stack_.empty() || (!marks_.empty() && marks_.back() == stack_.size()))
      Fail("pickle takes from an empty stack");
    return stack_.back();
  }
  uint32_t Pop() {
    const uint32_t value = Top();
    stack_.pop_back();
    return value;
  }
  // The values above the last mark.
  std::vector<uint32_t> PopMark() {
    if (marks_.empty()) Fail("pickle has no mark");
    std::vector<uint32_t> items(stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back()),
                                stack_.end());
    stack_.resize(marks_.back());
    marks_.pop_back();
    return items;
  }
  void PushItems(Kind kind, std::vector<uint32_t> items) {
    Push(PickledValue{.kind = kind, .items = std::move(items)});
  }
  void PushTuple(int count) {
    std::vector<uint32_t> items(static_cast<size_t>(count));
    for (int i = count - 1; i >= 0; --i) items[static_cast<size_t>(i)] = Pop();
    PushItems(Kind::kTuple, std::move(items));
  }
  // Adds to the container on top.
  void Extend(Kind kind, const std::vector<uint32_t>& items) {
    PickledValue& container = At(Top());
    if (container.kind != kind) Fail("pickle adds items to a value that is no container");
    if (kind == Kind::kDict && items.size() % 2 != 0) Fail("pickle has a key without a value");
    container.items.insert(container.items.end(), items.begin(), items.end());
  }
  void Memoize(uint64_t id) { memo_[id] = Top(); }
  void Recall(uint64_t id) {
    const auto found = memo_.find(id);
    if (found == memo_.end()) Fail("pickle recalls a value that it never kept");
    Push(found->second);
  }

  // --- what PyTorch adds ---
  void Global(const std::string& module, const std::string& name);
  void Reduce();
  uint32_t Call(const std::string& function, uint32_t arguments);
  void PersistentId();
  uint32_t RebuildTensor(const std::vector<uint32_t>& arguments);
  std::vector<int64_t> Integers(uint32_t tuple);
  const PickledValue& Expect(uint32_t value, Kind kind, const char* what) {
    if (At(value).kind != kind) Fail(std::string("tensor record is damaged: no ") + what);
    return At(value);
  }

  bool Step();
  bool StepContainer(uint8_t code);
  bool StepScalar(uint8_t code);

  std::span<const std::byte> bytes_;
  const std::string& where_;
  uint64_t at_ = 0, instruction_ = 0;
  Pickle pickle_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, uint32_t> memo_;
};

void Machine::Global(const std::string& module, const std::string& name) {
  const std::string full = module + "." + name;
  for (const StorageType& type : kStorages) {
    if (type.name == full) return Push(Kind::kDType, static_cast<int64_t>(type.dtype));
  }
  if (module == "torch" && std::count(kTorchDTypes.begin(), kTorchDTypes.end(), name)) {
    return Push(Kind::kNone);
  }
  if (!std::count(kGlobals.begin(), kGlobals.end(), full)) {
    Fail("checkpoint asks Python for " + Quoted(full) + ", which is no tensor; refused");
  }
  Push(PickledValue{.kind = Kind::kGlobal, .text = full});
}

std::vector<int64_t> Machine::Integers(uint32_t tuple) {
  std::vector<int64_t> numbers;
  const std::vector<uint32_t>& items = Expect(tuple, Kind::kTuple, "tuple of integers").items;
  if (items.size() > kMaxDimensions) Fail("tensor record is damaged: too many dimensions");
  for (uint32_t item : items) {
    numbers.push_back(Expect(item, Kind::kInteger, "integer").integer);
  }
  return numbers;
}

// (storage, offset, size, stride, requires_grad, hooks[, metadata])
uint32_t Machine::RebuildTensor(const std::vector<uint32_t>& arguments) {
  if (arguments.size() < 4) Fail("tensor record is damaged: too few fields");
  const auto storage = static_cast<size_t>(Expect(arguments[0], Kind::kStorage, "storage").integer);
  PickledTensor tensor = pickle_.tensors[storage];
  tensor.offset = Expect(arguments[1], Kind::kInteger, "offset").integer;
  tensor.shape = Integers(arguments[2]);
  tensor.stride = Integers(arguments[3]);
  if (tensor.shape.size() != tensor.stride.size())
    Fail("tensor record is damaged: strides do not fit the shape");
  pickle_.tensors.push_back(std::move(tensor));
  Push(Kind::kTensor, static_cast<int64_t>(pickle_.tensors.size()) - 1);
  return Pop();
}

uint32_t Machine::Call(const std::string& function, uint32_t arguments) {
  if (At(arguments).kind != Kind::kTuple) Fail("pickle calls without a tuple");
  if (At(arguments).items.size() > kMaxArguments) Fail("pickle calls with too many arguments");
  const std::vector<uint32_t> items = At(arguments).items;  // a copy: the value may move
  if (function == "torch._utils._rebuild_tensor_v2") return RebuildTensor(items);
  if (function == "torch._utils._rebuild_parameter") {
    if (items.empty()) Fail("parameter record is damaged");
    Expect(items[0], Kind::kTensor, "tensor");
    return items[0];
  }
  if (function ==
      "torch._tensor._rebuild_from_type_v2") {  // (function, type, arguments, attributes)
    if (items.size() < 3) Fail("tensor record is damaged: too few fields");
    const std::string inner = Expect(items[0], Kind::kGlobal, "function").text;
    if (inner == function) Fail("tensor record is damaged: it names itself");
    return Call(inner, items[2]);
  }
  if (function == "torch.Size" && items.size() == 1) return items[0];
  if (function == "collections.OrderedDict") {
    if (!items.empty()) Fail("OrderedDict of an old Python; save the checkpoint again");
    Push(Kind::kDict);
  } else if (function == "torch.device") {
    Push(Kind::kNone);
  } else {
    Fail("pickle calls " + Quoted(function) + ", which cannot be called");
  }
  return Pop();
}

void Machine::Reduce() {
  const uint32_t arguments = Pop(), function = Pop();
  if (At(function).kind != Kind::kGlobal) Fail("pickle calls a value that is no function");
  Push(Call(std::string(At(function).text), arguments));
}

// ("storage", storage type, key, location, elements)
void Machine::PersistentId() {
  const std::vector<uint32_t>& items = Expect(Pop(), Kind::kTuple, "storage tuple").items;
  if (items.size() < 5 || Expect(items[0], Kind::kString, "storage").text != "storage") {
    Fail("storage record is damaged");
  }
  PickledTensor storage;
  storage.dtype = static_cast<DType>(Expect(items[1], Kind::kDType, "storage type").integer);
  const std::string& key = Expect(items[2], Kind::kString, "storage key").text;
  if (key.size() > kMaxKey) Fail("storage record is damaged");
  storage.storage = key;
  storage.storage_elements = Expect(items[4], Kind::kInteger, "element count").integer;
  pickle_.tensors.push_back(std::move(storage));
  Push(Kind::kStorage, static_cast<int64_t>(pickle_.tensors.size()) - 1);
}

bool Machine::StepContainer(uint8_t code) {
  switch (code) {
    case '(':  // MARK
      marks_.push_back(stack_.size());
      return true;
    case '}':  // EMPTY_DICT
      Push(Kind::kDict);
      return true;
    case ']':  // EMPTY_LIST
      Push(Kind::kList);
      return true;
    case ')':  // EMPTY_TUPLE
      Push(Kind::kTuple);
      return true;
    case 't':  // TUPLE
      PushItems(Kind::kTuple, PopMark());
      return true;
    case 0x85:  // TUPLE1, TUPLE2, TUPLE3
    case 0x86:
    case 0x87:
      PushTuple(code - 0x84);
      return true;
    case 's': {  // SETITEM
      const uint32_t value = Pop(), key = Pop();
      Extend(Kind::kDict, {key, value});
      return true;
    }
    case 'u':  // SETITEMS
      Extend(Kind::kDict, PopMark());
      return true;
    case 'a': {  // APPEND
      const uint32_t value = Pop();
      Extend(Kind::kList, {value});
      return true;
    }
    case 'e':  // APPENDS
      Extend(Kind::kList, PopMark());
      return true;
    default:
      return false;
  }
}

bool Machine::StepScalar(uint8_t code) {
  switch (code) {
    case 'N':  // NONE
      Push(Kind::kNone);
      return true;
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      Push(Kind::kBool, code == 0x88);
      return true;
    case 'K':  // BININT1
      Push(Kind::kInteger, static_cast<int64_t>(Number(1)));
      return true;
    case 'M':  // BININT2
      Push(Kind::kInteger, static_cast<int64_t>(Number(2)));
      return true;
    case 'J':  // BININT
      Push(Kind::kInteger, static_cast<int32_t>(Number(4)));
      return true;
    case 0x8A:  // LONG1
      Push(Kind::kInteger, LongInteger(Number(1)));
      return true;
    case 'G': {  // BINFLOAT, big-endian
      uint64_t bits = 0;
      for (std::byte b : Take(8)) bits = bits << 8 | static_cast<uint64_t>(b);
      Push(PickledValue{.kind = Kind::kFloat, .number = std::bit_cast<double>(bits)});
      return true;
    }
    case 'X':  // BINUNICODE
    case 'T':  // BINSTRING
      PushText(Text(Number(4)));
      return true;
    case 0x8C:  // SHORT_BINUNICODE
    case 'U':   // SHORT_BINSTRING
      PushText(Text(Number(1)));
      return true;
    case 0x8D:  // BINUNICODE8
      PushText(Text(Number(8)));
      return true;
    default:
      return false;
  }
}

// One instruction; false after STOP.
bool Machine::Step() {
  instruction_ = at_;
  const auto code = static_cast<uint8_t>(Number(1));
  if (instruction_ == 0 && code != 0x80) Fail("not a pickle");
  if (StepContainer(code) || StepScalar(code)) return true;
  switch (code) {
    case '.':  // STOP
      return false;
    case 0x80:  // PROTO
      if (Number(1) > 5) Fail("pickle protocol is newer than 5");
      return true;
    case 0x95:  // FRAME
      Number(8);
      return true;
    case 'q':  // BINPUT
      Memoize(Number(1));
      return true;
    case 'r':  // LONG_BINPUT
      Memoize(Number(4));
      return true;
    case 0x94:  // MEMOIZE
      Memoize(memo_.size());
      return true;
    case 'h':  // BINGET
      Recall(Number(1));
      return true;
    case 'j':  // LONG_BINGET
      Recall(Number(4));
      return true;
    case 'c': {  // GLOBAL
      const std::string module = Line();
      Global(module, Line());
      return true;
    }
    case 0x93: {  // STACK_GLOBAL
      const uint32_t name = Pop(), module = Pop();
      Global(Expect(module, Kind::kString, "module").text,
             Expect(name, Kind::kString, "name").text);
      return true;
    }
    case 'R':  // REDUCE
      Reduce();
      return true;
    case 'b':  // BUILD: attributes of an OrderedDict (`_metadata`) or a tensor, of no use here
      Pop();
      Top();
      return true;
    case 'Q':  // BINPERSID
      PersistentId();
      return true;
    default:
      Fail(fmt::format("pickle instruction 0x{:02x} is not needed for tensors; refused", code));
  }
}

}  // namespace

Pickle ParsePickle(std::span<const std::byte> bytes, const std::string& where) {
  return Machine(bytes, where).Run();
}

}  // namespace orchard::io
