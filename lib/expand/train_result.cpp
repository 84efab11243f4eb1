#include "expand/train_result.h"

#include <nlohmann/json.hpp>

namespace orchard::expand {
namespace {

nlohmann::json Optional(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

std::optional<double> Optional(const nlohmann::json& value) {
  return value.is_null() ? std::nullopt : std::optional(value.get<double>());
}

}  // namespace

nlohmann::json ToJson(const TrainStage& s) {
  return {{"first_step", s.first_step},
          {"steps", s.steps},
          {"parameters", s.parameters},
          {"tokens", s.tokens},
          {"flops", s.flops},
          {"loss_before", Optional(s.loss_before)},
          {"loss_after", Optional(s.loss_after)}};
}

TrainStage ParseTrainStage(const nlohmann::json& s) {
  return {s.at("first_step").get<int64_t>(), s.at("steps").get<int64_t>(),
          s.at("parameters").get<int64_t>(), s.at("tokens").get<int64_t>(),
          s.at("flops").get<double>(),       Optional(s.at("loss_before")),
          Optional(s.at("loss_after"))};
}

nlohmann::json ToJson(const BestValidation& b) {
  return {{"step", b.step},
          {"epoch", b.epoch},
          {"selected", b.selected},
          {"loss", b.loss},
          {"scores", b.scores}};
}

BestValidation ParseBestValidation(const nlohmann::json& b) {
  return {b.at("step").get<int64_t>(), b.at("epoch").get<double>(), b.at("selected").get<double>(),
          b.at("loss").get<double>(), b.at("scores").get<std::map<std::string, double>>()};
}

nlohmann::json ToJson(const TrainResult& r) {
  nlohmann::json json = {{"steps", r.steps},
                         {"parameters", r.parameters},
                         {"trained_parameters", r.trained_parameters},
                         {"tokens", r.tokens},
                         {"flops", r.flops},
                         {"loss", r.loss},
                         {"seconds", r.seconds},
                         {"final", r.final.string()}};
  if (r.first_valid_loss) json["first_valid_loss"] = *r.first_valid_loss;
  if (r.valid_loss) json["valid_loss"] = *r.valid_loss;
  if (r.copy_divergence) json["copy_divergence"] = *r.copy_divergence;
  if (r.accuracy) json["valid_top1"] = *r.accuracy;
  if (r.stages.size() > 1) {
    for (const TrainStage& stage : r.stages) json["stages"].push_back(ToJson(stage));
  }
  if (r.best) {
    json["best"] = ToJson(*r.best);
    json["best"]["model"] = r.best_model.string();
  }
  return json;
}

}  // namespace orchard::expand
