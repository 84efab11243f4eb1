// Training from HDF5; other files are tested through the program (tests/cli/lemon_expand).
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "base/error.h"
#include "io/hdf5.h"
#include "unit/expand/tiny_training.h"
#include "unit/scratch_dir.h"

namespace orchard::expand {
namespace {

using orchard::testing::ScratchDir;

// 0 1 2 ... 9 0 1 ...: the next token is certain.
template <class T>
void WriteCounting(const std::filesystem::path& path, const std::vector<int64_t>& shape) {
  std::vector<T> tokens(static_cast<size_t>(shape.size() == 1 ? shape[0] : shape[0] * shape[1]));
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<T>(i % 10);
  io::Hdf5File file = io::Hdf5File::Create(path);
  file.Write<T>("tokens", tokens, shape);
  file.Finish();
}

TEST(TrainInputs, TokensOfHdf5AsOneStreamOrAsRows) {
  const ScratchDir scratch;
  WriteCounting<uint16_t>(scratch / "stream.h5", {3000});
  WriteCounting<int32_t>(scratch / "rows.h5", {100, 30});
  for (const char* name : {"stream", "rows"}) {
    TrainOptions options = TinyTraining();
    options.data.train = (scratch / (std::string(name) + ".h5")).string();
    options.opt.lr = 1e-2;
    options.sched.steps = 60;
    const TrainResult result = TrainInto(scratch / name, options);
    EXPECT_LT(*result.valid_loss, 0.5 * *result.first_valid_loss) << name;
  }
}

TEST(TrainInputs, ImagesOfHdf5) {
  const ScratchDir scratch;
  constexpr int64_t kImages = 60;
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
  for (int64_t i = 0; i < kImages; ++i) {
    labels.push_back(static_cast<int32_t>(i % 3));
    for (int64_t p = 0; p < 3 * 8 * 8; ++p) {
      pixels.push_back(static_cast<uint8_t>(p / 64 == i % 3 ? 200 + i % 7 : 20 + p % 5));
    }
  }
  {
    io::Hdf5File file = io::Hdf5File::Create(scratch / "images.h5");
    file.Write<uint8_t>("images", pixels, {kImages, 3, 8, 8});
    file.Write<int32_t>("labels", labels, {kImages});
    file.Finish();
  }
  TrainOptions options = TinyTraining();
  options.data.kind = DataKind::kImage;
  options.data.train = options.data.valid = (scratch / "images.h5").string();
  options.model.type = "vit";
  options.sched.steps = 40;
  const TrainResult result = TrainInto(scratch / "run", options);
  EXPECT_NEAR(*result.first_valid_loss, std::log(3.0), 0.2);
  EXPECT_GT(*result.accuracy, 0.9);
}

}  // namespace
}  // namespace orchard::expand
