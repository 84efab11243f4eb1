// Both halves of the probe; PROBE_HALF says which.
#include "cli/frame/probe_commands.h"

int main(int argc, char** argv) {
  orchard::cli::Program program({.name = "probe", .summary = "a program for tests"});
  orchard::probe::AddCommands(program, PROBE_HALF);
  return program.Main(argc, argv);
}
