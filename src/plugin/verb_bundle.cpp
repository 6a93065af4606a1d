// `kubectl godwit bundle`: a file with all that a bug report needs.
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "cli/screen.h"
#include "cli/table.h"
#include "cli/units.h"
#include "kube/timestamp.h"
#include "plugin/archive.h"
#include "plugin/bundle.h"
#include "plugin/cluster_options.h"
#include "plugin/paragraph.h"
#include "plugin/verbs.h"

namespace godwit::plugin {
namespace {

struct Options {
  ClusterOptions cluster;
  std::string path;
};

std::string default_path(kube::WallTime now) {
  std::string time = kube::format_time(now);  // 2024-05-01T12:00:00Z
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  return fmt::format("godwit-bundle-{}.tar.gz", time);
}

// Everything in it is in a folder of its own, as people expect who unpack it.
std::string folder_of(const std::string& path) {
  std::string name = std::filesystem::path(path).filename().string();
  for (const char* ending : {".tar.gz", ".tgz"}) {
    if (name.ends_with(ending)) name.resize(name.size() - std::string_view(ending).size());
  }
  return name;
}

cli::Lines render_report(const std::string& path, const BundleReport& report,
                         const std::vector<std::vector<std::string>>& files, const cli::Look& look) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  cli::Lines lines{cli::Line(fmt::format("{}, {}:", path, cli::format_bytes(error ? 0 : size)), cli::Tone::strong)};
  for (cli::Line& line : cli::render_table({{"FILE"}, {"SIZE", cli::Align::right}, {"WHAT"}}, files, 2)) {
    lines.push_back(std::move(line));
  }
  const auto say = [&](const std::string& text, cli::Tone tone) { add_paragraph(lines, text, 2, look, tone); };
  say("Removed: values of environment variables, commands and arguments, annotations but Godwit's own, messages of "
      "containers and probes. Not read at all: Secrets, ConfigMaps, logs of other pods, memory. Names of objects, "
      "addresses and Godwit's logs are in it: look through it before you publish it.",
      cli::Tone::plain);
  for (const std::string& one : report.missing) say("Not in it: " + one, cli::Tone::warning);
  return lines;
}

Result<> bundle(const Options& options, const std::string& version) {
  const kube::WallTime now = std::chrono::system_clock::now();
  const std::string path = options.path.empty() ? default_path(now) : options.path;
  GODWIT_ASSIGN(kube::ClusterAccess access, find_access(options.cluster));
  kube::Client client(std::move(access));
  GODWIT_ASSIGN(ArchiveWriter archive, ArchiveWriter::create(path));
  std::vector<std::vector<std::string>> files;
  const BundleSink sink = [&](const std::string& name, std::string_view contents) {
    files.push_back({name, cli::format_bytes(contents.size()), ""});
    return archive.add(fmt::format("{}/{}", folder_of(path), name), contents, now);
  };
  GODWIT_ASSIGN(
      const BundleReport report,
      gather_bundle(client, {.all_namespaces = options.cluster.namespace_name.empty(), .version = version}, sink));
  GODWIT_TRY(archive.finish());
  for (size_t i = 0; i < files.size(); ++i) files[i].back() = report.files[i].what;
  cli::Screen screen(STDOUT_FILENO, cli::detect_look(STDOUT_FILENO));
  screen.print(render_report(path, report, files, screen.look()));
  return {};
}

}  // namespace

void add_bundle(CLI::App& app, Chosen& chosen) {
  CLI::App* verb = app.add_subcommand("bundle", "Write a file with all that a bug report needs, and nothing secret");
  const auto options = std::make_shared<Options>();
  verb->add_option("-o,--output", options->path, "A .tar.gz; by default godwit-bundle-<time>.tar.gz here")
      ->type_name("FILE");
  add_cluster_options(*verb, options->cluster);
  verb->footer("Without -n it holds Migrations, events and pods of all namespaces, as far as you may read them.");
  verb->callback([&chosen, options] {
    chosen.run = [&chosen, options] {
      const Result<> done = bundle(*options, chosen.version);
      if (!done) complain(done.error().message);
      return done ? cli::exit_ok : cli::exit_failed;
    };
  });
}

}  // namespace godwit::plugin
