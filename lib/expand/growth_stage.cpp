#include "expand/growth_stage.h"

#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <type_traits>
#include <utility>

#include "base/error.h"
#include "expand/expand_model.h"
#include "expand/plan.h"

namespace orchard::expand {
namespace {

namespace fs = std::filesystem;

constexpr char kKey[] = "expand.staged";

// Sets the fields of an options struct from key=value pairs.
class PairReader : public cli::FieldVisitor {
 public:
  explicit PairReader(const std::string& text) : text_(text) {
    std::istringstream words(text);
    for (std::string word; words >> word;) {
      const size_t equals = word.find('=');
      if (equals == std::string::npos) Fail("'" + word + "' is not key=value");
      if (!values_.emplace(word.substr(0, equals), word.substr(equals + 1)).second) {
        Fail("'" + word.substr(0, equals) + "' comes twice");
      }
    }
  }

  // After the last field: nothing may be left.
  void Finish() const {
    if (!values_.empty()) Fail("there is no key '" + values_.begin()->first + "'");
  }

 protected:
  void Visit(const char* key, cli::FieldRef field, const char*,
             const cli::Constraint& constraint) override {
    const auto it = values_.find(key);
    if (it == values_.end()) return;
    std::visit([&](auto& target) { Set(key, it->second, target, constraint); }, field);
    values_.erase(it);
  }
  void VisitPositional(const char*, cli::FieldRef, const char*, bool) override {}
  void Enter(const char*) override {}
  void Leave() override {}

 private:
  [[noreturn]] void Fail(const std::string& what) const {
    throw UsageError(what, std::string(kKey) + ": " + text_,
                     "write e.g. \"at_step=1000 hidden=96 layers=4 optim=map\"");
  }

  template <class T>
  void Set(const char* key, const std::string& value, T& target, const cli::Constraint& c) const {
    if constexpr (std::is_same_v<T, cli::EnumRef>) {
      SetName(key, value, target);
    } else {
      using Value = std::remove_pointer_t<T>;
      using Element = typename cli::OptionalElement<Value>::Type;
      if constexpr (std::is_same_v<Element, bool>) {
        if (value != "true" && value != "false") Fail(std::string(key) + " is true or false");
        *target = value == "true";
      } else if constexpr (std::is_arithmetic_v<Element>) {
        *target = Number<Element>(key, value, c);
      } else if constexpr (std::is_same_v<Element, std::vector<int64_t>>) {
        target->clear();
        std::istringstream numbers(value);
        for (std::string part; std::getline(numbers, part, ',');) {
          target->push_back(Number<int64_t>(key, part, c));
        }
      } else if constexpr (std::is_constructible_v<Element, std::string>) {
        *target = Element(value);
      } else {
        Fail(std::string(key) + " cannot be set here");
      }
    }
  }

  void SetName(const char* key, const std::string& value, const cli::EnumRef& target) const {
    std::string names;
    for (size_t i = 0; i < target.names.size(); ++i) {
      if (target.names[i] == value) return target.set(i);
      names += (i > 0 ? ", " : "") + target.names[i];
    }
    Fail(std::string(key) + " is one of: " + names);
  }

  template <class T>
  T Number(const char* key, const std::string& value, const cli::Constraint& c) const {
    T number{};
    const char* end = value.data() + value.size();
    const auto [rest, error] = std::from_chars(value.data(), end, number);
    const auto wide = static_cast<double>(number);
    const bool outside = wide < c.lower || wide > c.upper || (c.lower_open && wide == c.lower) ||
                         (c.upper_open && wide == c.upper);
    if (error != std::errc() || rest != end || outside) {
      Fail("'" + value + "' is not a value of " + key);
    }
    return number;
  }

  const std::string& text_;
  std::map<std::string, std::string> values_;
};

}  // namespace

std::vector<GrowthStage> ParseStages(const std::vector<std::string>& texts, int64_t steps) {
  std::vector<GrowthStage> stages;
  for (const std::string& text : texts) {
    GrowthStage stage;
    PairReader reader(text);
    stage.Fields(reader);
    reader.Finish();
    if (stage.at_step == 0) throw UsageError("a growth needs its at_step", kKey, text);
    if (!stages.empty() && stage.at_step <= stages.back().at_step) {
      throw UsageError("growths do not stand in the order of their steps", kKey, text);
    }
    if (stage.at_step >= steps) {
      throw UsageError("nothing would be trained after the growth: the run has " +
                           std::to_string(steps) + " steps",
                       kKey, text);
    }
    stages.push_back(std::move(stage));
  }
  return stages;
}

void CheckStages(const std::vector<GrowthStage>& stages, const arch::Architecture& architecture,
                 const arch::Json& config) {
  if (stages.empty() || architecture.sizes_from_tensors) return;
  Sizes sizes = arch::ReadSizes(architecture, config, "config.json");
  for (const GrowthStage& stage : stages) {
    sizes = ResolveSizes(architecture, sizes, stage.target, stage.method);
  }
}

void GrowInRun(const GrowthStage& stage, const fs::path& source_path, const fs::path& destination,
               uint64_t seed, int threads) {
  const SourceModel source = OpenModel(source_path, stage.method.arch_map);
  const Plan plan = MakePlan(source, stage.target, stage.method);
  ExpandOptions options;
  options.threads = threads;
  options.seed = seed;
  options.force = true;  // a try that was killed may have left its own
  options.hash_sources = false;
  std::optional<io::Checkpoint> state;
  if (const fs::path path = source_path / "optimizer.safetensors"; fs::exists(path)) {
    state.emplace(io::Checkpoint::Open(path));
    options.write_beside = [&](const fs::path& folder) {
      GrowOptimizerState(*state, source, plan, stage.optim, seed, folder / "optimizer.safetensors");
    };
  }
  ExpandModel(source, plan, stage.method, destination, options);
}

}  // namespace orchard::expand
