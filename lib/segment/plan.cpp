#include "segment/plan.h"

#include <nlohmann/json.hpp>

#include "base/atomic_file.h"
#include "base/error.h"
#include "io/json_file.h"

namespace orchard::segment {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kVersion = 1;

void CheckPlan(const Plan& plan) {
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw DataError(std::string("not a plan: ") + what);
  };
  require(plan.dims == 2 || plan.dims == 3, "dims");
  require(!plan.channels.empty() && !plan.labels.empty(), "channels or labels");
  require(plan.labels.size() <= 255, "more than 255 labels");
  require(!plan.stages.empty() && plan.stages.size() <= 16, "stages");
  require(plan.batch >= 1 && plan.batch <= 4096, "batch");
  for (size_t l = 0; l < plan.labels.size(); ++l)
    require(plan.labels[l].value == static_cast<int64_t>(l) + 1, "labels are not 1, 2, ...");
  volume::Size3 product = {1, 1, 1};
  for (const Stage& stage : plan.stages) {
    require(stage.channels >= 1 && stage.channels <= 4096, "channels of a stage");
    for (size_t a = 0; a < 3; ++a) {
      require(stage.kernel[a] == 1 || stage.kernel[a] == 3, "a kernel");
      require(stage.stride[a] == 1 || stage.stride[a] == 2, "a stride");
      product[a] *= stage.stride[a];
    }
  }
  for (size_t a = 0; a < 3; ++a) {
    require(plan.spacing[a] > 0 && plan.spacing[a] < 1e6, "spacing");
    require(plan.patch[a] >= 1 && plan.patch[a] <= 8192, "patch");
    require(plan.patch[a] % product[a] == 0, "a patch that the strides do not divide");
  }
}

}  // namespace

volume::Size3 Plan::StageSize(size_t stage) const {
  volume::Size3 size = patch;
  for (size_t s = 0; s <= stage; ++s)
    for (size_t a = 0; a < 3; ++a) size[a] /= stages[s].stride[a];
  return size;
}

Json ToJson(const Plan& plan) {
  Json channels = Json::array(), labels = Json::array(), stages = Json::array();
  for (const ChannelScale& c : plan.channels) {
    Json json = {{"name", c.name}, {"scale", c.ct ? "ct" : "image"}};
    if (c.ct) {
      json.update({{"low", c.low}, {"high", c.high}, {"mean", c.mean}, {"std", c.deviation}});
    }
    channels.push_back(json);
  }
  for (const LabelName& l : plan.labels) labels.push_back({{"value", l.value}, {"name", l.name}});
  for (const Stage& s : plan.stages) {
    stages.push_back({{"channels", s.channels}, {"kernel", s.kernel}, {"stride", s.stride}});
  }
  return {{"format", "orchard-segmentation-plan"},
          {"version", kVersion},
          {"dataset", plan.dataset},
          {"dims", plan.dims},
          {"channels", channels},
          {"labels", labels},
          {"spacing", plan.spacing},
          {"patch", plan.patch},
          {"batch", plan.batch},
          {"stages", stages},
          {"nonzero_mask", plan.nonzero_mask},
          {"training_bytes", plan.training_bytes},
          {"fingerprint",
           {{"cases", plan.cases},
            {"median_size", plan.median_size},
            {"median_spacing", plan.median_spacing},
            {"coarsest_spacing", plan.coarsest_spacing}}}};
}

Plan PlanFromJson(const nlohmann::json& json, const std::string& where) {
  Plan plan;
  try {
    if (json.at("format") != "orchard-segmentation-plan") throw DataError("not a plan");
    plan.dataset = json.at("dataset");
    plan.dims = json.at("dims");
    for (const auto& c : json.at("channels")) {
      ChannelScale scale{.name = c.at("name"), .ct = c.at("scale") == "ct"};
      if (scale.ct) {
        scale.low = c.at("low");
        scale.high = c.at("high");
        scale.mean = c.at("mean");
        scale.deviation = c.at("std");
      }
      plan.channels.push_back(scale);
    }
    for (const auto& l : json.at("labels")) plan.labels.push_back({l.at("value"), l.at("name")});
    for (const auto& s : json.at("stages")) {
      plan.stages.push_back({s.at("channels"), s.at("kernel"), s.at("stride")});
    }
    plan.spacing = json.at("spacing");
    plan.patch = json.at("patch");
    plan.batch = json.at("batch");
    plan.nonzero_mask = json.at("nonzero_mask");
    plan.training_bytes = json.at("training_bytes");
    const auto& f = json.at("fingerprint");
    plan.cases = f.at("cases");
    plan.median_size = f.at("median_size");
    plan.median_spacing = f.at("median_spacing");
    plan.coarsest_spacing = f.at("coarsest_spacing");
    CheckPlan(plan);
  } catch (const nlohmann::json::exception& error) {
    throw DataError(std::string("not a plan: ") + error.what(), where);
  } catch (const DataError& error) {
    throw DataError(error.what(), where, "siamese-seg plan makes one");
  }
  return plan;
}

Plan ReadPlan(const std::filesystem::path& file) {
  return PlanFromJson(io::ReadJsonFile(file), file.string());
}

void WritePlan(const std::filesystem::path& file, const Plan& plan) {
  WriteFileAtomically(file, ToJson(plan).dump(2) + "\n");
}

}  // namespace orchard::segment
