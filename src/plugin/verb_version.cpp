// `kubectl godwit version`.
#include "plugin/verbs.h"

namespace godwit::plugin {

void add_version(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("version", "Print the version of this program");
  verb->callback([&chosen] {
    chosen.run = [&chosen] {
      fmt::print("kubectl-godwit {}\n", chosen.version);
      return cli::exit_ok;
    };
  });
}

}  // namespace godwit::plugin
