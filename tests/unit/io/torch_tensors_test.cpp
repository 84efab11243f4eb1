#include "io/torch/tensors.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/io/temporary_directory.h"

namespace orchard::io {
namespace {

TEST(Tensors, EveryTypeIsReadBackAsItWasSaved) {
  const TemporaryDirectory directory;
  std::map<std::string, at::Tensor> tensors;
  for (at::ScalarType type : {at::kBool, at::kByte, at::kChar, at::kShort, at::kInt, at::kLong,
                              at::kUInt16, at::kHalf, at::kBFloat16, at::kFloat, at::kDouble}) {
    tensors[at::toString(type)] = at::arange(-3, 9).reshape({3, 4}).to(type);
  }
  SaveTensors(directory / "m.safetensors", tensors, {{"epoch", "3"}});
  const Checkpoint checkpoint = Checkpoint::Open(directory / "m.safetensors");
  EXPECT_EQ(checkpoint.metadata().at("epoch"), "3");
  const auto read = ReadTensors(checkpoint);
  ASSERT_EQ(read.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(read.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(read.at(name).to(at::kDouble), tensor.to(at::kDouble))) << name;
  }
}

TEST(Tensors, StridesScalarsAndEmptyOnesAreSavedDense) {
  const TemporaryDirectory directory;
  const at::Tensor base = at::arange(12, at::kFloat).reshape({3, 4});
  SaveTensors(directory / "m.safetensors", {{"t", base.t()},
                                            {"column", base.select(1, 2)},
                                            {"empty", base.slice(0, 1, 1)},
                                            {"scalar", at::scalar_tensor(2.5)}});
  const Checkpoint checkpoint = Checkpoint::Open(directory / "m.safetensors");
  EXPECT_TRUE(at::equal(ReadTensor(checkpoint, "t"), base.t()));
  EXPECT_TRUE(at::equal(ReadTensor(checkpoint, "column"), base.select(1, 2)));
  EXPECT_EQ(ReadTensor(checkpoint, "empty").sizes(), (at::IntArrayRef{0, 4}));
  EXPECT_EQ(ReadTensor(checkpoint, "scalar").item<float>(), 2.5f);
  EXPECT_THROW(ReadTensor(checkpoint, "none"), DataError);
}

TEST(Tensors, SparseOnesAreRefused) {
  const TemporaryDirectory directory;
  EXPECT_THROW(SaveTensors(directory / "m.safetensors", {{"s", at::eye(3).to_sparse()}}),
               ImpossibleError);
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
}

}  // namespace
}  // namespace orchard::io
