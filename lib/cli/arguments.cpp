#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <stdexcept>

#include "base/error.h"

namespace orchard::cli {
namespace {

using Kind = ArgumentSyntax::Kind;

CLI::Option* AddOption(CLI::App& app, const ArgumentSyntax& syntax) {
  const std::string letter = syntax.letter ? std::string("-") + syntax.letter + "," : "";
  if (syntax.kind == Kind::kSwitch) {
    const std::string negation = syntax.negation.empty() ? "" : ",!" + syntax.negation;
    return app.add_flag(letter + syntax.name + negation);
  }
  CLI::Option* option = app.add_option(letter + syntax.name);
  const bool rest = syntax.kind == Kind::kPositional && syntax.list;
  option->expected(1, rest ? CLI::detail::expected_max_vector_size : 1);
  option->allow_extra_args(rest);
  return option;
}

}  // namespace

ParsedArguments ParseArguments(const std::vector<ArgumentSyntax>& syntax,
                               const std::vector<std::string>& arguments) {
  CLI::App app;
  app.set_help_flag();  // --help is a switch like others
  app.allow_extras();
  std::vector<CLI::Option*> options;
  for (const ArgumentSyntax& one : syntax) {
    options.push_back(AddOption(app, one)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll));
  }
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::ArgumentMismatch&) {
    // The only flag that can lack its value is the last argument.
    throw UsageError("the flag needs a value", arguments.empty() ? "" : arguments.back());
  } catch (const CLI::Error& error) {
    throw UsageError(error.what());
  } catch (const std::invalid_argument&) {
    // CLI11's answer to --no-x=maybe.
    throw UsageError("a flag without a value got one that is neither true nor false");
  }
  ParsedArguments parsed;
  for (CLI::Option* option : options) parsed.values.push_back(option->results());
  parsed.unknown = app.remaining();
  // CLI11 reports the mark itself, too.
  const auto mark = std::find(parsed.unknown.begin(), parsed.unknown.end(), "--");
  if (mark != parsed.unknown.end()) parsed.unknown.erase(mark);
  return parsed;
}

}  // namespace orchard::cli
