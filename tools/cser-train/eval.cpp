// cser-train eval: a trained model on test data.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>

#include "base/error.h"
#include "base/thread_pool.h"
#include "cser-train/tensor_commands.h"
#include "io/json_file.h"
#include "sync/averaged_model.h"
#include "sync/replica.h"

namespace orchard::cser_train {
namespace {

namespace fs = std::filesystem;

// What a stored model says about the network and the data it is for.
void ReadConfig(const fs::path& file, sync::SyncModelOptions& model, sync::SyncDataOptions& data) {
  const nlohmann::json config = io::ReadJsonFile(file);
  try {
    config.at("arch").get_to(model.arch);
    if (config.at("model_type") == "gpt2") {
      data.kind = sync::DataKind::kText;
      config.at("n_positions").get_to(data.context);
      if (!data.path) data.path = data.test;
      return;
    }
    config.at("stem_norms").get_to(model.stem_norms);
    config.at("mean").get_to(data.mean);
    config.at("deviation").get_to(data.deviation);
    if (data.kind == sync::DataKind::kImageNet) data.crop_size = config.at("image").at(1);
  } catch (const nlohmann::json::exception&) {
    throw DataError("not the configuration of a network of cser-train", file.string());
  }
}

void Print(const sync::Evaluation& e, const sync::TrainingData& data, bool as_json) {
  const bool text = data.predicts_bytes();
  const double bits = e.loss / std::numbers::ln2, perplexity = std::exp(e.loss);
  if (as_json) {
    nlohmann::json json = {{text ? "windows" : "images", data.test_size()},
                           {"loss", e.loss},
                           {"top1", e.top1},
                           {"top5", e.top5}};
    if (text) json.update({{"bits_per_byte", bits}, {"perplexity", perplexity}});
    fmt::print("{}\n", json.dump());
    return;
  }
  if (text) {
    fmt::print("{} windows: {:.4f} bits per byte, perplexity {:.4f}, ", data.test_size(), bits,
               perplexity);
  } else {
    fmt::print("{} images: loss {:.4f} nat, ", data.test_size(), e.loss);
  }
  fmt::print("top-1 {:.2f} %, top-5 {:.2f} %\n", 100 * e.top1, 100 * e.top5);
}

}  // namespace

int RunEval(const sync::EvalOptions& options, const cli::Context& context) {
  RequireCpu(context);
  at::set_num_threads(context.common.Threads());
  sync::SyncModelOptions model;
  sync::SyncDataOptions data_options = options.data;
  const fs::path directory =
      fs::exists(options.model / "final") ? options.model / "final" : options.model;
  ReadConfig(directory / "config.json", model, data_options);
  if (options.module) model.arch = *options.module;
  if (fs::path(model.arch).extension() == ".pt" && !fs::exists(model.arch)) {
    throw DataError("the network's TorchScript file is not there", model.arch,
                    "say where it is: --module FILE");
  }
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const auto data = sync::OpenTrainingData(data_options, seed);
  sync::Replica replica(data->MakeNetwork(model, seed));
  replica.Load(directory / "model.safetensors");
  ThreadPool pool(1);
  const auto one = comm::OneProcess();
  data_options.batch = 1;  // of training, which evaluation does not look at
  data_options.augment = false;
  const auto batches = data->Batches(data_options, 0, 1, seed, pool);
  Print(sync::EvaluateAverage(replica, nullptr, *batches, data->test_size(), 0, options.eval, *one),
        *data, context.common.json);
  return 0;
}

}  // namespace orchard::cser_train
