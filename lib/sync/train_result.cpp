#include "sync/train_result.h"

#include <nlohmann/json.hpp>

namespace orchard::sync {

nlohmann::json ToJson(const ReachedTarget& t) {
  return {{"accuracy", t.accuracy},
          {"step", t.step},
          {"epoch", t.epoch},
          {"bytes_sent", t.bytes_sent},
          {"seconds", t.seconds}};
}

ReachedTarget ParseReachedTarget(const nlohmann::json& t) {
  return {t.at("accuracy").get<double>(), t.at("step").get<int64_t>(), t.at("epoch").get<double>(),
          t.at("bytes_sent").get<int64_t>(), t.at("seconds").get<double>()};
}

nlohmann::json ToJson(const SyncResult& r) {
  nlohmann::json json = {{"algorithm", r.algorithm},
                         {"engine", r.engine},
                         {"ranks", r.ranks},
                         {"steps", r.steps},
                         {"epochs", r.epochs},
                         {"parameters", r.parameters},
                         {"loss", r.loss},
                         {"test_loss", r.test_loss},
                         {"top1", r.top1},
                         {"top5", r.top5},
                         {"best_top1", r.best_top1},
                         {"drift", r.drift},
                         {"bytes_sent", r.bytes_sent},
                         {"bytes_received", r.bytes_received},
                         {"wire_bytes_estimated", r.wire_bytes_estimated},
                         {"evaluation_bytes", r.evaluation_bytes},
                         {"nominal_ratio", r.nominal_ratio},
                         {"train_seconds", r.train_seconds},
                         {"compute_seconds", r.compute_seconds},
                         {"update_seconds", r.update_seconds},
                         {"wire_seconds", r.wire_seconds},
                         {"wait_seconds", r.wait_seconds},
                         {"node_bytes_sent", r.node_bytes_sent},
                         {"label_skew", r.label_skew},
                         {"targets", nlohmann::json::array()},
                         {"final", r.final.string()}};
  if (r.ratio) json["ratio"] = *r.ratio;
  if (!r.tuning.empty()) json["tuning"] = r.tuning;
  if (r.bits_per_byte) json["bits_per_byte"] = *r.bits_per_byte;
  for (const ReachedTarget& target : r.targets) json["targets"].push_back(ToJson(target));
  return json;
}

SyncResult ParseSyncResult(const nlohmann::json& j) {
  SyncResult r;
  j.at("algorithm").get_to(r.algorithm);
  j.at("engine").get_to(r.engine);
  j.at("ranks").get_to(r.ranks);
  j.at("steps").get_to(r.steps);
  j.at("epochs").get_to(r.epochs);
  j.at("parameters").get_to(r.parameters);
  j.at("loss").get_to(r.loss);
  j.at("test_loss").get_to(r.test_loss);
  j.at("top1").get_to(r.top1);
  j.at("top5").get_to(r.top5);
  j.at("best_top1").get_to(r.best_top1);
  j.at("drift").get_to(r.drift);
  j.at("bytes_sent").get_to(r.bytes_sent);
  j.at("bytes_received").get_to(r.bytes_received);
  j.at("wire_bytes_estimated").get_to(r.wire_bytes_estimated);
  j.at("evaluation_bytes").get_to(r.evaluation_bytes);
  j.at("nominal_ratio").get_to(r.nominal_ratio);
  if (j.contains("tuning")) j.at("tuning").get_to(r.tuning);
  if (j.contains("ratio")) r.ratio = j.at("ratio").get<double>();
  if (j.contains("bits_per_byte")) r.bits_per_byte = j.at("bits_per_byte").get<double>();
  j.at("train_seconds").get_to(r.train_seconds);
  j.at("compute_seconds").get_to(r.compute_seconds);
  j.at("update_seconds").get_to(r.update_seconds);
  j.at("wire_seconds").get_to(r.wire_seconds);
  j.at("wait_seconds").get_to(r.wait_seconds);
  j.at("node_bytes_sent").get_to(r.node_bytes_sent);
  j.at("label_skew").get_to(r.label_skew);
  for (const auto& target : j.at("targets")) r.targets.push_back(ParseReachedTarget(target));
  r.final = j.at("final").get<std::string>();
  return r;
}

}  // namespace orchard::sync
