#include "execute/input_spec.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <map>

#include "base/error.h"
#include "io/printable.h"

namespace orchard::execute {
namespace {

const std::map<std::string, at::ScalarType>& Types() {
  static const std::map<std::string, at::ScalarType> types = {
      {"f32", at::kFloat}, {"f64", at::kDouble}, {"f16", at::kHalf}, {"bf16", at::kBFloat16},
      {"i64", at::kLong},  {"i32", at::kInt},    {"bool", at::kBool}};
  return types;
}

[[noreturn]] void Fail(const std::string& text) {
  throw UsageError(io::Quoted(text) + " is not SHAPE[/DTYPE[:CLASSES]]", "--input",
                   "as in 8x3x224x224, 8x128/bf16 or 8x40/i64:30000");
}

int64_t Number(std::string_view digits, const std::string& text) {
  int64_t value = 0;
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (result.ec != std::errc() || result.ptr != digits.data() + digits.size() || value < 1)
    Fail(text);
  return value;
}

}  // namespace

InputSpec ParseInputSpec(const std::string& text) {
  InputSpec spec;
  std::string shape = text;
  if (const size_t slash = text.find('/'); slash != std::string::npos) {
    shape = text.substr(0, slash);
    spec.dtype = text.substr(slash + 1);
    if (const size_t colon = spec.dtype.find(':'); colon != std::string::npos) {
      spec.classes = Number(std::string_view(spec.dtype).substr(colon + 1), text);
      spec.dtype.resize(colon);
    }
  }
  if (!Types().contains(spec.dtype)) Fail(text);
  double elements = 1;
  for (size_t begin = 0; begin <= shape.size();) {
    const size_t end = std::min(shape.find('x', begin), shape.size());
    spec.shape.push_back(Number(std::string_view(shape).substr(begin, end - begin), text));
    elements *= static_cast<double>(spec.shape.back());
    begin = end + 1;
  }
  if (elements > 1e12) Fail(text);
  return spec;
}

std::string ToText(const InputSpec& spec) {
  std::string text = fmt::format("{}/{}", fmt::join(spec.shape, "x"), spec.dtype);
  if (spec.dtype[0] == 'i') text += fmt::format(":{}", spec.classes);
  return text;
}

at::Tensor MakeInput(const InputSpec& spec, uint64_t seed, int64_t index) {
  const at::Generator generator =
      at::detail::createCPUGenerator(seed * 1000003 + static_cast<uint64_t>(index) + 1);
  const at::ScalarType type = Types().at(spec.dtype);
  if (at::isFloatingType(type))
    return at::randn(spec.shape, generator, at::TensorOptions(at::kFloat)).to(type);
  return at::randint(spec.classes, spec.shape, generator, at::TensorOptions(at::kLong)).to(type);
}

}  // namespace orchard::execute
