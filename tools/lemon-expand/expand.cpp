// lemon-expand expand: writes a bigger model that computes the same function. Also finalize, for
// expansions made in parts.
#include "expand/expand_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/error.h"
#include "base/logging.h"
#include "base/number_format.h"
#include "base/thread_pool.h"
#include "cli/device.h"
#include "cli/tensor_half.h"
#include "expand/optimizer_state.h"
#include "io/json_file.h"
#include "lemon-expand/commands.h"
#include "lemon-expand/expand_command.h"
#include "run/progress.h"
#include "run/shard.h"

namespace orchard::lemon_expand {
namespace {

using arch::Json;

struct ExpandCommandOptions {
  std::filesystem::path source, destination, plan;
  expand::TargetOptions target;
  expand::MethodOptions method;
  int64_t shard_size = 5'000'000'000;
  int64_t max_ram = 1'000'000'000;
  std::string part = "1/1";
  std::filesystem::path optimizer_state;
  expand::StateGrowth optim = expand::StateGrowth::kMap;
  bool hash_sources = true;
  bool page_cache = false;

  void Fields(cli::FieldVisitor& f) {
    f.Positional("source", source, "model to grow: Hugging Face directory or safetensors file");
    f.Positional("destination", destination, "directory of the new model");
    f("plan", plan, "sizes and method from `lemon-expand plan -o FILE`");
    f.Section("target", target);
    f.Section("method", method);
    f("shard_size", shard_size, "largest file of the target", cli::Bytes(1));
    f("max_ram", max_ram, "bound on memory for buffers", cli::Bytes(1 << 20));
    f("part", part, "write the i-th of n groups of shards: i/n; `finalize` joins them");
    f("optimizer_state", optimizer_state,
      "optimizer.safetensors of the source's training, grown beside the model");
    f("optim", optim, "what becomes of the optimiser's state; asym: only first copies keep it");
    f("hash_sources", hash_sources, "record the SHA-256 of every source tensor");
    f("page_cache", page_cache,
      "leave the target in the page cache; else large files on local disks are written past it");
  }
};

// A plan file stands behind the flags: what the command line gives wins.
void ReadPlan(const std::filesystem::path& path, expand::TargetOptions& target) {
  if (path.empty()) return;
  const nlohmann::json plan = io::ReadJsonFile(path);
  if (!plan.is_object() || !plan.contains("target") || !plan["target"].is_object()) {
    throw DataError("not a plan: there is no object 'target'", path.string());
  }
  const auto take = [&](const char* key, std::optional<int64_t>& value) {
    const auto it = plan["target"].find(key);
    if (value || it == plan["target"].end()) return;
    if (!it->is_number_integer())
      throw DataError(std::string("'target.") + key + "' is not a whole number", path.string());
    value = it->get<int64_t>();
  };
  take("hidden", target.hidden);
  take("heads", target.heads);
  take("kv_heads", target.kv_heads);
  take("ffn", target.ffn);
  take("layers", target.layers);
  take("channels", target.channels);
  take("width_per_group", target.width_per_group);
  const auto depths = plan["target"].find("depths");
  if (!target.depths.empty() || depths == plan["target"].end()) return;
  for (const auto& blocks : *depths) {
    if (!blocks.is_number_integer())
      throw DataError("'target.depths' is not a list of whole numbers", path.string());
    target.depths.push_back(blocks.get<int64_t>());
  }
}

Json Result(const expand::Plan& plan, const expand::ExpandReport& report,
            const std::filesystem::path& destination) {
  return {{"destination", destination.string()},       {"finalized", report.finalized},
          {"parameters", plan.parameters()},           {"bytes", plan.bytes()},
          {"bytes_written", report.bytes_written},     {"shards_written", report.shards_written},
          {"shards_kept", report.shards_kept},         {"seconds", report.seconds},
          {"exactness", expand::Name(plan.exactness)}, {"lossless", plan.lossless},
          {"target", expand::ToJson(plan.target)},     {"warnings", plan.warnings}};
}

// The source and the plan with the new layers of --method lesa. Without `predict`, this process
// becomes the tensor half, which has it.
expand::LesaResult Predict(const PredictLayers& predict, const expand::SourceModel& source,
                           const expand::Plan& plan, const ExpandCommandOptions& options,
                           const cli::Context& context) {
  if (!predict) cli::StartTensorHalf(kName, context.arguments);
  run::Progress progress("lesa", 0, "kinds of matrices",
                         {.enabled = !context.common.no_progress && !context.common.quiet});
  expand::LesaResult result =
      predict(source, plan,
              {.epochs = options.method.lesa_epochs,
               .seed = static_cast<uint64_t>(context.common.seed),
               .threads = context.common.Threads(),
               .max_ram = options.max_ram,
               .scratch = std::filesystem::absolute(options.destination).parent_path(),
               .on_start = [&](std::string_view kind) {
                 progress.Note(std::string(kind));
                 progress.Advance();
               }});
  progress.Finish();
  return result;
}

Json LesaJson(const std::vector<expand::LesaKind>& kinds) {
  Json list = Json::array();
  for (const expand::LesaKind& k : kinds) {
    list.push_back({{"tensor", k.name},
                    {"directions", k.directions},
                    {"first_loss", k.first_loss},
                    {"loss", k.loss},
                    {"prediction_error", k.prediction_error},
                    {"copy_error", k.copy_error}});
  }
  return list;
}

void PrintLesa(const std::vector<expand::LesaKind>& kinds) {
  for (const expand::LesaKind& k : kinds) {
    fmt::print(
        "  {}: known layers predicted with an error of {:.1f} % (copies: {:.1f} %), {} "
        "directions\n",
        k.name, 100 * k.prediction_error, 100 * k.copy_error, k.directions);
  }
}

int RunExpand(const ExpandCommandOptions& given, const PredictLayers& predict,
              const cli::Context& context) {
  ExpandCommandOptions options = given;
  ReadPlan(options.plan, options.target);
  const auto [part, parts] = run::ParseShard(options.part, "--part");
  const expand::SourceModel source = expand::OpenModel(options.source, options.method.arch_map);
  io::RefuseQuantized(source.weights);
  const expand::Plan plan = expand::MakePlan(source, options.target, options.method);
  for (const std::string& warning : plan.warnings) LogWarning(warning);

  expand::ExpandOptions run;
  run.shard_size = options.shard_size;
  run.max_ram = options.max_ram;
  run.page_cache = options.page_cache;
  run.threads =
      static_cast<int>(context.common.threads > 0 ? context.common.threads : DefaultThreads());
  run.seed = static_cast<uint64_t>(context.common.seed);
  run.part = part;
  run.parts = parts;
  run.resume = context.common.resume;
  run.force = context.common.force;
  run.hash_sources = options.hash_sources;
  // auto is the CPU: the disk bounds either, and a GPU is rarely free for this.
  if (context.common.device != "auto") {
    const cli::Device device = cli::ResolveDevice(context.common.device);
    if (device.IsCuda()) run.gpu = device.index;
  }
  std::optional<expand::LesaResult> predicted;
  std::optional<io::Checkpoint> state;
  if (!options.optimizer_state.empty()) {
    state.emplace(io::Checkpoint::Open(options.optimizer_state));
    run.write_beside = [&](const std::filesystem::path& folder) {
      expand::GrowOptimizerState(*state, predicted ? predicted->source : source,
                                 predicted ? predicted->plan : plan, options.optim, run.seed,
                                 folder / "optimizer.safetensors");
    };
  }
  expand::ExpandReport report;
  if (!context.common.dry_run) {
    if (plan.method == expand::Method::kLesa) {
      predicted.emplace(Predict(predict, source, plan, options, context));
    }
    run::ProgressOptions progress_options;
    progress_options.enabled = !context.common.no_progress && !context.common.quiet;
    run::Progress progress("expand", expand::PartBytes(plan, run), "B", progress_options);
    run.on_progress = [&](int64_t bytes) { progress.Advance(bytes); };
    report = expand::ExpandModel(predicted ? predicted->source : source,
                                 predicted ? predicted->plan : plan, options.method,
                                 options.destination, run);
  }
  if (context.common.json) {
    Json json = Result(plan, report, options.destination);
    if (predicted) json["lesa"] = LesaJson(predicted->kinds);
    fmt::print("{}\n", json.dump());
  } else {
    PrintPlanSummary(source, plan);
    if (predicted) PrintLesa(predicted->kinds);
    if (!context.common.dry_run) {
      fmt::print("wrote {} in {} ({}/s) to {}{}\n", FormatBytes(report.bytes_written),
                 FormatDuration(report.seconds),
                 FormatBytes(static_cast<uint64_t>(static_cast<double>(report.bytes_written) /
                                                   std::max(1e-9, report.seconds))),
                 options.destination.string(),
                 report.finalized ? "" : ".partial; `lemon-expand finalize` joins the parts");
    }
  }
  return 0;
}

struct FinalizeOptions {
  std::filesystem::path destination;
  void Fields(cli::FieldVisitor& f) {
    f.Positional("destination", destination,
                 "directory of the new model, as given to `expand --part`");
  }
};

int RunFinalize(const FinalizeOptions& options, const cli::Context& context) {
  expand::Finalize(options.destination, context.common.force);
  if (context.common.json) {
    fmt::print("{}\n",
               Json({{"destination", options.destination.string()}, {"finalized", true}}).dump());
  } else {
    fmt::print("{} is complete\n", options.destination.string());
  }
  return 0;
}

}  // namespace

void PrintPlanSummary(const expand::SourceModel& source, const expand::Plan& plan) {
  const auto sizes = [](const arch::Sizes& s) {
    if (s.resnet) {
      return fmt::format("{} blocks, {} channels after the stem, width per group {}",
                         fmt::join(s.resnet->blocks, " + "), s.resnet->stem, s.resnet->inner);
    }
    return fmt::format("{} layers, width {}, {} heads{} of {}, MLP {}", s.layers, s.hidden, s.heads,
                       s.kv_heads == s.heads ? "" : fmt::format(" ({} key-value)", s.kv_heads),
                       s.head_dim, s.ffn);
  };
  int64_t before = 0;
  for (const io::TensorInfo& tensor : source.weights.tensors()) before += tensor.elements();
  fmt::print("{}: {}\n", source.architecture.model_type, source.path.string());
  fmt::print("  from {} ({} parameters)\n  to   {} ({} parameters)\n", sizes(plan.source),
             FormatCount(static_cast<double>(before)), sizes(plan.target),
             FormatCount(static_cast<double>(plan.parameters())));
  fmt::print("  method {}, {}, exactness class {}\n", expand::Name(plan.method),
             plan.lossless ? "computes the same function" : "does not keep the function",
             expand::Name(plan.exactness));
}

void AddExpand(cli::Program& program, const PredictLayers& predict) {
  program.Add<ExpandCommandOptions>(
      {.name = "expand",
       .summary = "writes a bigger model that computes the same function",
       .example =
           "lemon-expand expand all-MiniLM-L6-v2 bigger --hidden 768 --layers 12 --ffn 3072"},
      [predict](const ExpandCommandOptions& options, const cli::Context& context) {
        return RunExpand(options, predict, context);
      });
  program.Add<FinalizeOptions>(
      {.name = "finalize",
       .summary = "completes an expansion whose parts were written by `expand --part`",
       .example = "lemon-expand finalize bigger"},
      RunFinalize);
}

}  // namespace orchard::lemon_expand
