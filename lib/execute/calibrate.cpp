#include "execute/calibrate.h"

#include <ATen/ATen.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/number_format.h"
#include "execute/executor.h"

namespace orchard::execute {
namespace {

// Two transfers that take less than this many times one of them do not share a channel.
constexpr double kShares = 1.5;

// Returns a tensor that it holds on the device.
class Produce : public OperatorBody {
 public:
  std::vector<at::Tensor> Run(std::span<const at::Tensor>, std::span<const at::Tensor> parameters,
                              c10::Device) const override {
    return {parameters[0]};
  }
};

class Consume : public OperatorBody {
 public:
  std::vector<at::Tensor> Run(std::span<const at::Tensor> inputs, std::span<const at::Tensor>,
                              c10::Device) const override {
    return {at::empty({0}, inputs[0].options())};
  }
};

class Multiply : public OperatorBody {
 public:
  std::vector<at::Tensor> Run(std::span<const at::Tensor>, std::span<const at::Tensor> parameters,
                              c10::Device) const override {
    return {at::matmul(parameters[0], parameters[0])};
  }
};

// Transfers that start together: a producer and a consumer for each.
class Probe {
 public:
  void Transfer(int32_t src, int32_t dst, int64_t bytes) {
    const auto parameter = static_cast<int32_t>(program_.parameters.size());
    program_.parameters.push_back(
        {fmt::format("data{}", parameter), at::zeros({bytes}, at::kByte)});
    const int32_t producer = Add(src, std::make_shared<Produce>(), {}, {parameter}, bytes);
    ends_.emplace_back(producer, Add(dst, std::make_shared<Consume>(), {{producer, 0}}, {}, 0));
  }

  void Work(int32_t device) {
    const auto parameter = static_cast<int32_t>(program_.parameters.size());
    program_.parameters.push_back({"matrix", at::ones({512, 512}, at::kFloat) * 0.01});
    const int32_t op = Add(device, std::make_shared<Multiply>(), {}, {parameter}, 0);
    ends_.emplace_back(op, op);
  }

  // Median over the rounds of the time from the first sending to the last consumer's begin;
  // of a Work, of its time.
  double Median(const std::vector<DeviceSpec>& devices, int64_t rounds) {
    Layout layout;
    layout.device = device_;
    layout.order.resize(devices.size());
    // Producers first: they stand before the consumers on every device.
    std::vector<int32_t> order;
    for (const auto& [producer, consumer] : ends_) order.push_back(producer);
    for (const auto& [producer, consumer] : ends_) {
      if (consumer != producer) order.push_back(consumer);
    }
    for (int32_t i : order) layout.order[device_[i]].push_back(i);
    Executor executor(program_, layout, devices, {});
    std::vector<double> times;
    for (int64_t round = -5; round < rounds; ++round) {
      const StepResult step = executor.Step();
      double begin = 1e300, end = 0;
      for (const auto& [producer, consumer] : ends_) {
        const bool work = producer == consumer;
        begin = std::min(begin, work ? step.forward[producer].begin_us
                                     : SentAt(step, producer, devices[device_[producer]].cuda()));
        end = std::max(end, work ? step.forward[consumer].end_us : step.forward[consumer].begin_us);
      }
      if (round >= 0) times.push_back(std::max(0.0, end - begin));
    }
    return execute::Median(times);
  }

 private:
  // On the CPU when the tensor is handed over: the courier may take the sender's core, so that the
  // sender sees its own end only after the copy. On CUDA when the stream gets there.
  static double SentAt(const StepResult& step, int32_t producer, bool cuda) {
    for (const TransferSpan& transfer : step.transfers) {
      if (transfer.value.op == producer && !cuda) return transfer.span.begin_us;
    }
    return step.forward[producer].end_us;
  }

  int32_t Add(int32_t device, std::shared_ptr<const OperatorBody> body, std::vector<Value> inputs,
              std::vector<int32_t> parameters, int64_t bytes) {
    const auto index = static_cast<int32_t>(program_.operators.size());
    Operator op{.name = fmt::format("probe{}", index), .kind = "probe", .body = std::move(body)};
    op.inputs = std::move(inputs);
    op.parameters = std::move(parameters);
    op.output_bytes = {bytes};
    op.differentiable = {0};
    program_.operators.push_back(std::move(op));
    device_.push_back(device);
    return index;
  }

  Program program_;
  std::vector<int32_t> device_;
  std::vector<std::pair<int32_t, int32_t>> ends_;
};

int64_t AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  int64_t kilobytes = 0;
  while (file >> key >> kilobytes >> unit) {
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return static_cast<int64_t>(sysconf(_SC_AVPHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

// Devices that share one memory share it equally.
void MeasureMemory(const std::vector<DeviceSpec>& devices, place::Cluster& cluster) {
  for (size_t d = 0; d < devices.size(); ++d) {
    const auto sharers =
        std::count_if(devices.begin(), devices.end(),
                      [&](const DeviceSpec& other) { return other.device == devices[d].device; });
    int64_t free = AvailableMemory();
    if (devices[d].cuda()) {
      free = static_cast<int64_t>(
          c10::getDeviceAllocator(c10::kCUDA)->getMemoryInfo(devices[d].device.index()).first);
    }
    cluster.devices[d].memory = free / sharers;
  }
}

// Relative to the first device; differences below a tenth are taken for noise.
void MeasureSpeed(const std::vector<DeviceSpec>& devices, int64_t rounds, place::Cluster& cluster) {
  double first = 0;
  for (size_t d = 0; d < devices.size(); ++d) {
    Probe probe;
    probe.Work(static_cast<int32_t>(d));
    const double us = probe.Median(devices, rounds);
    if (d == 0) first = us;
    const double speed = first / us;
    cluster.devices[d].speed = std::abs(speed - 1) < 0.1 ? 1 : speed;
  }
}

place::Comm ModeOf(const Calibration& c) {
  if (c.same_direction_us < kShares * c.alone_us) return place::Comm::kParallel;
  return c.opposite_us < kShares * c.alone_us ? place::Comm::kDuplex : place::Comm::kHalf;
}

}  // namespace

Calibration Calibrate(const CalibrateOptions& options,
                      const std::function<void(const std::string&)>& progress) {
  std::vector<DeviceSpec> devices;
  std::set<std::string> names;
  Calibration result;
  for (const std::string& name : options.devices) {
    if (!names.insert(name).second)
      throw UsageError("the device stands twice", "--devices " + name);
    devices.push_back(ParseDevice(name));
    result.cluster.devices.push_back({.name = name});
  }
  const auto n = static_cast<int32_t>(devices.size());
  MeasureMemory(devices, result.cluster);
  MeasureSpeed(devices, options.rounds, result.cluster);
  result.cluster.links.assign(static_cast<size_t>(n) * n, {});
  std::vector<double> slopes, latencies;
  for (int32_t src = 0; src < n; ++src) {
    for (int32_t dst = 0; dst < n; ++dst) {
      if (src == dst) continue;
      LinkMeasurement link{.src = src, .dst = dst};
      for (int64_t bytes = 1024; bytes <= options.largest; bytes *= 4) {
        if (progress) {
          progress(fmt::format("{} to {}, {}", devices[src].name, devices[dst].name,
                               FormatBytes(static_cast<uint64_t>(bytes))));
        }
        Probe probe;
        probe.Transfer(src, dst, bytes);
        link.times.push_back({bytes, probe.Median(devices, options.rounds)});
      }
      link.fit = FitLink(link.times);
      result.cluster.links[src * n + dst] = {link.fit.us_per_byte, link.fit.latency_us};
      slopes.push_back(link.fit.us_per_byte);
      latencies.push_back(link.fit.latency_us);
      result.links.push_back(std::move(link));
    }
  }
  if (n < 2) return result;
  result.cluster.link = {Median(slopes), Median(latencies)};
  const auto probe = [&](const std::vector<std::pair<int32_t, int32_t>>& transfers) {
    Probe both;
    for (const auto& [src, dst] : transfers) both.Transfer(src, dst, options.largest);
    return both.Median(devices, options.rounds);
  };
  result.alone_us = probe({{0, 1}});
  result.same_direction_us = probe({{0, 1}, {0, 1}});
  result.opposite_us = probe({{0, 1}, {1, 0}});
  result.cluster.comm = ModeOf(result);
  return result;
}

std::string CalibrationToJson(const Calibration& calibration) {
  using Json = nlohmann::ordered_json;
  const place::Cluster& cluster = calibration.cluster;
  Json devices = Json::array(), pairs = Json::array();
  for (const place::Device& device : cluster.devices)
    devices.push_back({{"name", device.name}, {"memory", device.memory}, {"speed", device.speed}});
  for (const LinkMeasurement& link : calibration.links) {
    Json sizes = Json::array();
    for (const TransferTime& time : link.times) sizes.push_back({time.bytes, time.us});
    pairs.push_back({{"src", cluster.devices[link.src].name},
                     {"dst", cluster.devices[link.dst].name},
                     {"a", link.fit.us_per_byte},
                     {"b", link.fit.latency_us},
                     {"r2", link.fit.r2},
                     {"measured", sizes}});
  }
  Json links = {{"default",
                 {{"a", cluster.link.us_per_byte},
                  {"b", cluster.link.latency_us},
                  {"mode", place::Name(cluster.comm)}}}};
  links["pairs"] = pairs;
  const Json json = {{"devices", devices},
                     {"links", links},
                     {"duplex_probe_us",
                      {{"alone", calibration.alone_us},
                       {"same_direction", calibration.same_direction_us},
                       {"opposite", calibration.opposite_us}}}};
  return json.dump(1) + "\n";
}

}  // namespace orchard::execute
