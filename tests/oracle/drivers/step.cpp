// orchard-step DIR BATCH LENGTH STEPS THREADS: seconds of each training step (forward, next-token
// loss, backward) of a model in f32, one number per line, for scripts/bench.d/transformer_step. The
// first step, which allocates, is not printed.
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/error.h"
#include "nn/loss.h"
#include "nn/model_directory.h"
#include "nn/random_tensor.h"

namespace {

double Step(orchard::nn::Transformer& model, const orchard::nn::Batch& batch,
            const at::Tensor& targets, uint64_t pass) {
  const auto begin = std::chrono::steady_clock::now();
  const orchard::nn::TrainingContext training{.seed = 1, .pass = pass};
  orchard::nn::TokenLoss(model.Forward(batch, &training).token_logits, targets).backward();
  for (const auto& parameter : model.parameters().all()) parameter.value.mutable_grad().reset();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "usage: orchard-step DIR BATCH LENGTH STEPS THREADS\n");
    return 2;
  }
  try {
    at::set_num_threads(std::atoi(argv[5]));
    const auto directory = orchard::nn::ModelDirectory::Open(argv[1]);
    orchard::nn::Transformer model = directory.LoadTransformer(at::kFloat, true);
    const auto vocabulary = static_cast<double>(model.config().vocab);
    const orchard::nn::Batch batch{
        .tokens = orchard::nn::RandomUniform("tokens", {std::atoll(argv[2]), std::atoll(argv[3])},
                                             1, 1, at::kDouble)
                      .abs()
                      .mul(vocabulary - 1)
                      .to(at::kLong)};
    const at::Tensor targets = orchard::nn::NextTokens(batch.tokens);
    const int steps = std::atoi(argv[4]);
    for (int i = 0; i <= steps; ++i) {
      const double seconds = Step(model, batch, targets, static_cast<uint64_t>(i));
      if (i > 0) std::printf("%.6f\n", seconds);
    }
  } catch (const orchard::Error& error) {
    std::fprintf(stderr, "orchard-step: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
