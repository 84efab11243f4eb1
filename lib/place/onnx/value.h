// What is known of a value before anything runs: element type, shape, and for small constants the
// numbers themselves.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "place/onnx/model.h"

namespace orchard::place::onnx {

inline constexpr int64_t kOpen = -1;  // a size that is not known

using Shape = std::vector<int64_t>;

// The numbers of a small constant in row-major order: integers and truth values exactly, the others
// as doubles. One of the two is empty (both for no elements).
struct Constant {
  std::vector<int64_t> ints;
  std::vector<double> floats;
  size_t size() const { return ints.size() + floats.size(); }
  double At(size_t i) const { return ints.empty() ? floats[i] : static_cast<double>(ints[i]); }
};
// Larger ones are not followed.
inline constexpr int64_t kMaxConstant = 4096;

struct Value {
  int32_t element = kUndefined;
  std::optional<Shape> shape;  // absent: not even the number of axes is known
  std::shared_ptr<const Constant> constant;
  bool load_time = false;    // the same in every run: computed once, when the model is loaded
  bool is_tensor = true;     // else a sequence, map or optional
  bool upper_bound = false;  // sizes depend on data; these are the largest that they can be

  bool complete() const;
  // Of a complete value. Throw TooLarge.
  int64_t Elements() const;
  int64_t Bytes() const;
};

// No tensor has more elements, and no size is larger.
inline constexpr int64_t kMaxElements = int64_t{1} << 60;
struct TooLarge {};  // thrown where one would be; whoever knows the node says so

// a * b with kOpen if either is. Throws TooLarge beyond kMaxElements.
int64_t Product(int64_t a, int64_t b);
int64_t Product(const Shape& shape, size_t begin, size_t end);

// "float[8, 64, ?]".
std::string Describe(const Value& value);

// The numbers of a tensor with at most kMaxConstant elements whose values lie in the file and are
// numbers; nullptr otherwise. Throws DataError when there are too few.
std::shared_ptr<const Constant> ReadConstant(const TensorInfo& tensor,
                                             const ProtobufSource& source);

}  // namespace orchard::place::onnx
