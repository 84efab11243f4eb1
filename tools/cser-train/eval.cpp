// cser-train eval: a trained model on test images.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/thread_pool.h"
#include "cser-train/tensor_commands.h"
#include "io/json_file.h"
#include "sync/averaged_model.h"
#include "sync/replica.h"

namespace orchard::cser_train {

int RunEval(const sync::EvalOptions& options, const cli::Context& context) {
  RequireCpu(context);
  at::set_num_threads(context.common.Threads());
  const std::filesystem::path file = options.model / "config.json";
  const nlohmann::json config = io::ReadJsonFile(file);
  sync::SyncModelOptions model;
  sync::SyncDataOptions data_options = options.data;
  try {
    model.arch = config.at("arch").get<std::string>();
    model.stem_norms = config.at("stem_norms").get<bool>();
    data_options.mean = config.at("mean").get<std::vector<double>>();
    data_options.deviation = config.at("deviation").get<std::vector<double>>();
  } catch (const nlohmann::json::exception&) {
    throw DataError("not the configuration of a network of cser-train", file.string());
  }
  const auto seed = static_cast<uint64_t>(context.common.seed);
  const sync::ImageData data = sync::OpenImageData(data_options, seed);
  sync::Replica replica(sync::MakeNetwork(model, data.train, seed));
  replica.Load(options.model / "model.safetensors");
  ThreadPool pool(1);
  const auto one = comm::OneProcess();
  const sync::RankBatches batches(data, data_options, 0, 1, seed, pool);
  const sync::Evaluation e =
      sync::EvaluateAverage(replica, nullptr, batches, data.test.size(), 0, options.eval, *one);
  if (context.common.json) {
    fmt::print(
        "{}\n",
        nlohmann::json(
            {{"images", data.test.size()}, {"loss", e.loss}, {"top1", e.top1}, {"top5", e.top5}})
            .dump());
  } else {
    fmt::print("{} images: loss {:.4f} nat, top-1 {:.2f} %, top-5 {:.2f} %\n", data.test.size(),
               e.loss, 100 * e.top1, 100 * e.top5);
  }
  return 0;
}

}  // namespace orchard::cser_train
