// `godwit version`.
#include "cli/verbs.h"

namespace godwit::cli {

void add_version(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("version", "Print the version");
  verb->callback([&chosen] {
    chosen.run = [&chosen] {
      fmt::print("godwit {}\n", chosen.version);
      return exit_ok;
    };
  });
}

}  // namespace godwit::cli
