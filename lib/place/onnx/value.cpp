#include "place/onnx/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "io/printable.h"

namespace orchard::place::onnx {
namespace {

template <class T>
T Load(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

// Element i of raw values.
void AppendRaw(int32_t element, const char* raw, int64_t i, Constant& constant) {
  switch (element) {
    case kFloat:
      constant.floats.push_back(Load<float>(raw + 4 * i));
      break;
    case kDouble:
      constant.floats.push_back(Load<double>(raw + 8 * i));
      break;
    case kFloat16:
      constant.floats.push_back(Widen(Load<Float16>(raw + 2 * i)));
      break;
    case kBfloat16:
      constant.floats.push_back(Widen(Load<BFloat16>(raw + 2 * i)));
      break;
    case kInt64:
      constant.ints.push_back(Load<int64_t>(raw + 8 * i));
      break;
    case kInt32:
      constant.ints.push_back(Load<int32_t>(raw + 4 * i));
      break;
    case kBool:
    case kUint8:
      constant.ints.push_back(Load<uint8_t>(raw + i));
      break;
    case kInt8:
      constant.ints.push_back(Load<int8_t>(raw + i));
      break;
    default:
      break;
  }
}

bool IsNumber(int32_t element) {
  switch (element) {
    case kFloat:
    case kDouble:
    case kFloat16:
    case kBfloat16:
    case kInt64:
    case kInt32:
    case kBool:
    case kUint8:
    case kInt8:
      return true;
    default:
      return false;
  }
}

// Values in the typed fields of a tensor.
void AppendTyped(const TensorInfo& tensor, const ProtobufSource& source, Constant& constant) {
  std::vector<int64_t> words;
  ProtobufMessage m(tensor.bytes, source);
  while (m.Next()) {
    switch (m.field()) {
      case 4:
        m.AppendFloats(constant.floats);
        break;
      case 10:
        m.AppendDoubles(constant.floats);
        break;
      case 5:
      case 7:
        m.AppendInts(words);
        break;
      default:
        break;
    }
  }
  if (!IsFloating(tensor.element)) {
    constant.ints = std::move(words);
  } else if (tensor.element == kFloat16 || tensor.element == kBfloat16) {
    constant.floats.clear();  // halves are stored as the integers of their bits
    for (int64_t word : words) {
      const auto bits = static_cast<uint16_t>(word);
      constant.floats.push_back(tensor.element == kFloat16 ? Widen(Float16{bits})
                                                           : Widen(BFloat16{bits}));
    }
  }
  if (static_cast<int64_t>(constant.size()) != tensor.elements) {
    throw DataError(
        fmt::format("{} values where {} are needed", constant.size(), tensor.elements),
        source.Where(tensor.bytes.data()) + " (tensor " + io::Quoted(tensor.name) + ")");
  }
}

}  // namespace

int64_t Product(int64_t a, int64_t b) {
  if (a == 0 || b == 0) return 0;
  if (a < 0 || b < 0) return kOpen;
  int64_t product;
  if (__builtin_mul_overflow(a, b, &product) || product > kMaxElements) throw TooLarge();
  return product;
}

int64_t Product(const Shape& shape, size_t begin, size_t end) {
  int64_t product = 1;
  for (size_t i = begin; i < end; ++i) product = Product(product, shape[i]);
  return product;
}

bool Value::complete() const {
  return element != kUndefined && shape &&
         std::all_of(shape->begin(), shape->end(), [](int64_t n) { return n >= 0; });
}

int64_t Value::Elements() const { return Product(*shape, 0, shape->size()); }

int64_t Value::Bytes() const {
  const auto bits = static_cast<__int128>(Elements()) * ElementBits(element);
  if ((bits + 7) / 8 > kMaxElements) throw TooLarge();
  return static_cast<int64_t>((bits + 7) / 8);
}

std::string Describe(const Value& value) {
  if (!value.is_tensor) return "no tensor";
  std::string text = ElementName(value.element);
  if (!value.shape) return text + "[...]";
  text += "[";
  for (size_t i = 0; i < value.shape->size(); ++i) {
    const int64_t n = (*value.shape)[i];
    text += (i ? ", " : "") + (n < 0 ? std::string("?") : std::to_string(n));
  }
  return text + "]";
}

std::shared_ptr<const Constant> ReadConstant(const TensorInfo& tensor,
                                             const ProtobufSource& source) {
  if (tensor.external || tensor.sparse || tensor.elements > kMaxConstant ||
      !IsNumber(tensor.element))
    return nullptr;
  auto constant = std::make_shared<Constant>();
  if (!tensor.has_raw) {
    AppendTyped(tensor, source, *constant);
    return constant;
  }
  std::string_view raw;
  ProtobufMessage m(tensor.bytes, source);
  while (m.Next()) {
    if (m.field() == 9) raw = m.Bytes();
  }
  for (int64_t i = 0; i < tensor.elements; ++i) AppendRaw(tensor.element, raw.data(), i, *constant);
  return constant;
}

}  // namespace orchard::place::onnx
