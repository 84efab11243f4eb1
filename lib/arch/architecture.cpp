#include "arch/architecture.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace orchard::arch {
namespace {

// Fills {i} and {e} of a pattern.
std::string Fill(std::string pattern, int64_t layer, int64_t expert) {
  for (const auto& [mark, value] : {std::pair{"{i}", layer}, std::pair{"{e}", expert}}) {
    for (size_t at; (at = pattern.find(mark)) != std::string::npos;) {
      pattern.replace(at, 3, std::to_string(value));
    }
  }
  return pattern;
}

// Reads a number at `at`; false when there is none, or one with leading zeros or over 7 digits.
bool ReadNumber(std::string_view text, size_t& at, int64_t& value) {
  const size_t begin = at;
  value = 0;
  while (at < text.size() && text[at] >= '0' && text[at] <= '9')
    value = value * 10 + (text[at++] - '0');
  const size_t digits = at - begin;
  return digits > 0 && digits < 8 && (digits == 1 || text[begin] != '0');
}

bool MatchPattern(std::string_view pattern, std::string_view text, Match& match) {
  size_t at = 0;
  for (size_t p = 0; p < pattern.size();) {
    if (pattern.substr(p, 3) == "{i}" || pattern.substr(p, 3) == "{e}") {
      int64_t& number = pattern[p + 1] == 'i' ? match.layer : match.expert;
      if (!ReadNumber(text, at, number)) return false;
      p += 3;
    } else {
      if (at >= text.size() || text[at] != pattern[p]) return false;
      ++at;
      ++p;
    }
  }
  return at == text.size();
}

int64_t PositiveInteger(const Json& value, const std::string& key, const std::string& where) {
  if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > 1e9) {
    throw DataError("'" + key + "' is " + (value.is_null() ? "missing" : value.dump()) +
                        ", not a positive whole number",
                    where);
  }
  return value.get<int64_t>();
}

}  // namespace

std::string Match::Slot() const { return Fill(rule->slot, layer, expert); }

std::string Architecture::NameOf(const Match& match, int64_t layer, int64_t expert) {
  const std::string& name = match.rule->name;
  return Fill(name.starts_with('/') ? name.substr(1) : match.prefix + name, layer, expert);
}

std::optional<Match> Architecture::Find(std::string_view tensor_name) const {
  std::string name(tensor_name);
  for (const auto& [old_suffix, new_suffix] : renames) {
    if (name.ends_with("." + old_suffix)) {
      name.replace(name.size() - old_suffix.size(), old_suffix.size(), new_suffix);
    }
  }
  for (const TensorRule& rule : rules) {
    if (rule.name.starts_with('/')) {
      Match match{&rule};
      if (MatchPattern(std::string_view(rule.name).substr(1), name, match)) return match;
      continue;
    }
    for (const std::string& prefix : prefixes) {
      Match match{&rule, prefix};
      if (name.starts_with(prefix) &&
          MatchPattern(rule.name, std::string_view(name).substr(prefix.size()), match)) {
        return match;
      }
    }
  }
  return std::nullopt;
}

Json ConfigValue(const Architecture& architecture, const Json& config, const std::string& key) {
  if (key.empty()) return nullptr;
  if (const auto it = config.find(key); it != config.end() && !it->is_null()) return *it;
  const Json defaults = Json::parse(architecture.defaults_json);
  if (const auto it = defaults.find(key); it != defaults.end()) return *it;
  return nullptr;
}

Sizes ReadSizes(const Architecture& architecture, const Json& config, const std::string& where) {
  const ConfigKeys& keys = architecture.keys;
  const auto value = [&](const std::string& key) { return ConfigValue(architecture, config, key); };
  Sizes sizes;
  sizes.hidden = PositiveInteger(value(keys.hidden), keys.hidden, where);
  sizes.layers = PositiveInteger(value(keys.layers), keys.layers, where);
  sizes.heads = PositiveInteger(value(keys.heads), keys.heads, where);
  const Json kv_heads = value(keys.kv_heads);
  sizes.kv_heads =
      kv_heads.is_null() ? sizes.heads : PositiveInteger(kv_heads, keys.kv_heads, where);
  const Json head_dim = architecture.head_dim_is_hidden_over_heads ? Json() : value(keys.head_dim);
  sizes.head_dim = head_dim.is_null() ? sizes.hidden / sizes.heads
                                      : PositiveInteger(head_dim, keys.head_dim, where);
  if (head_dim.is_null() && sizes.hidden % sizes.heads != 0) {
    throw DataError("'" + keys.heads + "' = " + std::to_string(sizes.heads) + " does not divide '" +
                        keys.hidden + "' = " + std::to_string(sizes.hidden),
                    where);
  }
  if (sizes.heads % sizes.kv_heads != 0) {
    throw DataError("'" + keys.kv_heads + "' = " + std::to_string(sizes.kv_heads) +
                        " does not divide '" + keys.heads + "' = " + std::to_string(sizes.heads),
                    where);
  }
  if (!keys.ffn_ratio.empty()) {
    const Json ratio = value(keys.ffn_ratio);
    if (!ratio.is_number() || ratio.get<double>() <= 0 || ratio.get<double>() > 1e6) {
      throw DataError("'" + keys.ffn_ratio + "' is not a positive number", where);
    }
    sizes.ffn = static_cast<int64_t>(static_cast<double>(sizes.hidden) * ratio.get<double>());
  } else {
    const Json ffn = value(keys.ffn);
    sizes.ffn = ffn.is_null() && architecture.ffn_default_ratio > 0
                    ? architecture.ffn_default_ratio * sizes.hidden
                    : PositiveInteger(ffn, keys.ffn, where);
  }
  return sizes;
}

double Epsilon(const Architecture& architecture, const Json& config) {
  if (architecture.fixed_epsilon) return *architecture.fixed_epsilon;
  const Json value = ConfigValue(architecture, config, architecture.keys.epsilon);
  if (!value.is_number() || !(value.get<double>() >= 0)) {
    throw DataError("'" + architecture.keys.epsilon + "' is not a number >= 0", "config.json");
  }
  return value.get<double>();
}

void CheckRefusals(const Architecture& architecture, std::span<const Refusal> refusals,
                   const Json& config, const std::string& where) {
  for (const Refusal& refusal : refusals) {
    const auto it = config.find(refusal.key);
    if (it == config.end() || it->is_null()) continue;
    const Json fine = refusal.unless_equals_key.empty()
                          ? Json::parse(refusal.unless_json)
                          : ConfigValue(architecture, config, refusal.unless_equals_key);
    if (*it != fine) {
      throw ImpossibleError("'" + refusal.key + "': " + it->dump() + " is not supported for " +
                                architecture.model_type + ": " + refusal.why,
                            where);
    }
  }
}

}  // namespace orchard::arch
