// The verbs of `godwit`, one file each (verb_*.cpp): each adds its subcommand, and puts what is to be run into `run`
// when it is the one that was named.
#pragma once

#include <functional>
#include <string>

#include <CLI/CLI.hpp>

#include "agent/requests.h"
#include "base/result.h"
#include "cli/migration_run.h"

namespace godwit::cli {

// One command line, owned by run_command_line().
struct Chosen {
  std::string socket_path = agent::agent_socket_path;
  std::string version;
  std::function<ExitStatus()> run;
};

void add_ps(CLI::App& app, Chosen& chosen);
void add_migrate(CLI::App& app, Chosen& chosen);
void add_inspect(CLI::App& app, Chosen& chosen);
void add_sessions(CLI::App& app, Chosen& chosen);
void add_cancel(CLI::App& app, Chosen& chosen);
void add_abandon(CLI::App& app, Chosen& chosen);
void add_demo(CLI::App& app, Chosen& chosen);
void add_load(CLI::App& app, Chosen& chosen);
void add_version(CLI::App& app, Chosen& chosen);

// An option whose text `parse` turns into a quantity; what it says of a wrong one is the usage error.
template <typename T, typename Parse>
CLI::Option* add_quantity(CLI::App& app, const std::string& name, const std::string& type, Parse parse, T& into,
                          const std::string& help) {
  const auto read = [parse, name, &into](const std::string& text) {
    auto value = parse(text);
    if (!value) throw CLI::ValidationError(name, value.error().message);
    into = *value;
  };
  return app.add_option_function<std::string>(name, read, help)->type_name(type);
}

// A number option; help texts show `type` alone, not its range.
template <typename T, typename Bound>
CLI::Option* add_number(CLI::App& app, const std::string& name, T& into, Bound least, Bound most,
                        const std::string& help) {
  return app.add_option(name, into, help)->check(CLI::Range(least, most).description(""))->type_name("N");
}

// "godwit: ..." on standard error.
void complain(const std::string& text);

// Parses, runs, and returns the exit status.
int run_command_line(int argc, char** argv, const std::string& version);

}  // namespace godwit::cli
