// A program in two halves whose subcommands do what a test asks for: fail in a given way, print
// what they got.
#pragma once

#include "cli/program.h"

namespace orchard::probe {

enum class Flavour { kPlain, kSweet, kSour };
inline constexpr cli::EnumName<Flavour> kFlavourNames[] = {
    {"plain", Flavour::kPlain}, {"sweet", Flavour::kSweet}, {"sour", Flavour::kSour}};
constexpr auto EnumNames(Flavour) { return std::span(kFlavourNames); }

struct EchoSection {
  int64_t steps = 3;
  Flavour flavour = Flavour::kPlain;
  std::vector<double> rates = {0.5, 0.25};
  void Fields(cli::FieldVisitor& f) {
    f("steps", steps, "how often", cli::AtLeast(1));
    f("flavour", flavour, "how it tastes");
    f("rates", rates, "how fast", cli::Positive());
  }
};

struct EchoOptions {
  std::filesystem::path source;
  std::optional<std::filesystem::path> plan;
  int64_t max_ram = 1'000'000'000;
  EchoSection echo;
  void Fields(cli::FieldVisitor& f) {
    f.Positional("source", source, "what to echo");
    f("plan", plan, "a file");
    f("max_ram", max_ram, "memory to use", cli::Bytes(1));
    f.Section("echo", echo);
  }
};

struct FailOptions {
  std::string how;
  void Fields(cli::FieldVisitor& f) { f.Positional("how", how, "which exception"); }
};

// `half` is "core" or "tensor". Only the tensor half can run `tensor`; `orphan` is in neither.
void AddCommands(cli::Program& program, const std::string& half);

}  // namespace orchard::probe
