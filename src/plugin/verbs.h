// The verbs of `kubectl godwit`, one file each (verb_*.cpp): each adds its subcommand, and puts what is to be run into
// `run` when it is the one that was named.
#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "cli/migration_run.h"

namespace godwit::plugin {

using cli::ExitStatus;
constexpr ExitStatus exit_error = cli::exit_usage;  // of `explain`, where 1 is an answer

// One command line, owned by run_command_line().
struct Chosen {
  std::string version;
  std::function<ExitStatus()> run;
};

void add_migrate(CLI::App& app, Chosen& chosen);
void add_explain(CLI::App& app, Chosen& chosen);
void add_watch(CLI::App& app, Chosen& chosen);
void add_nodes(CLI::App& app, Chosen& chosen);
void add_bundle(CLI::App& app, Chosen& chosen);
void add_version(CLI::App& app, Chosen& chosen);

// "kubectl godwit: ..." on standard error.
void complain(const std::string& text);

// Parses, runs, and returns the exit status.
int run_command_line(int argc, const char* const* argv, const std::string& version);

}  // namespace godwit::plugin
