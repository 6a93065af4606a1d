// bench-page-path: how fast a process's memory reaches the destination's page store through everything that the agents
// put between, TLS included, measured against a bare loop of process_vm_readv + send and recv into a memfd.
//
// The ways take turns within one run, because the speed of the machine may drift: only the ratios of one run tell.
#include <CLI/CLI.hpp>

#include "agent/requests.h"
#include "bench/common/report.h"
#include "bench/page_path/contents.h"
#include "bench/page_path/loopback_namespace.h"
#include "bench/page_path/transfer.h"
#include "os/pagemap.h"
#include "transfer/loopback.h"

namespace godwit::bench {
namespace {

using nlohmann::json;

struct Options {
  uint64_t memory_bytes = uint64_t{1} << 30;
  int repeats = 5;
  size_t lanes = agent::lanes_default;
  std::string json_path;
};

// All transfers of one kind.
struct Series {
  std::vector<double> gb_per_s;
  std::vector<double> cpu_s_per_gib;
  uint64_t wire_bytes = 0;

  void add(const Transfer& transfer, uint64_t memory_bytes) {
    gb_per_s.push_back(static_cast<double>(memory_bytes) / 1e9 / transfer.seconds);
    cpu_s_per_gib.push_back((transfer.source_cpu_seconds + transfer.destination_cpu_seconds) /
                            (static_cast<double>(memory_bytes) / static_cast<double>(uint64_t{1} << 30)));
    wire_bytes = transfer.wire_bytes;
  }
};

struct Comparison {
  Series agent;
  Series bare;
  Series bare_populated;
};

Result<Comparison> compare(const Pattern& pattern, const Options& options, const transfer::TlsIdentity& identity) {
  GODWIT_ASSIGN(const auto workload, Workload::start(options.memory_bytes, pattern.fill));
  Comparison result;
  for (int i = 0; i < options.repeats; ++i) {
    GODWIT_ASSIGN(const Transfer bare, run_bare_loop(*workload, Memfd::fresh));
    GODWIT_ASSIGN(const Transfer agent, run_agent_path(*workload, identity, options.lanes));
    GODWIT_ASSIGN(const Transfer populated, run_bare_loop(*workload, Memfd::populated));
    result.bare.add(bare, options.memory_bytes);
    result.agent.add(agent, options.memory_bytes);
    result.bare_populated.add(populated, options.memory_bytes);
  }
  return result;
}

json describe(const Series& series) {
  return {{"gb_per_s", summary(series.gb_per_s)},
          {"cpu_s_per_gib", summary(series.cpu_s_per_gib)},
          {"wire_bytes", series.wire_bytes}};
}

Result<> run(const Options& options) {
  GODWIT_TRY(enter_loopback_namespace());
  GODWIT_ASSIGN(const transfer::Authority authority, transfer::Authority::create("benchmark"));
  GODWIT_ASSIGN(const transfer::TlsIdentity identity, authority.identity("node"));
  fmt::print("page path: {} MiB, {} TLS lanes, medians of {} transfers each\n\n", options.memory_bytes >> 20,
             options.lanes, options.repeats);
  std::vector<std::vector<std::string>> rows = {{"contents", "agent GB/s", "bare GB/s", "ratio", "bare, populated GB/s",
                                                 "ratio", "agent CPU s/GiB", "bare CPU s/GiB"}};
  json figures = {{"memory_bytes", options.memory_bytes}, {"lanes", options.lanes}, {"repeats", options.repeats}};
  for (const Pattern& pattern : patterns) {
    GODWIT_ASSIGN(const Comparison found, compare(pattern, options, identity));
    const double agent = median(found.agent.gb_per_s);
    const double bare = median(found.bare.gb_per_s);
    const double populated = median(found.bare_populated.gb_per_s);
    rows.push_back({pattern.description, fmt::format("{:.2f}", agent), fmt::format("{:.2f}", bare),
                    fmt::format("{:.2f}", agent / bare), fmt::format("{:.2f}", populated),
                    fmt::format("{:.2f}", agent / populated), fmt::format("{:.2f}", median(found.agent.cpu_s_per_gib)),
                    fmt::format("{:.2f}", median(found.bare.cpu_s_per_gib))});
    figures["contents"].push_back({{"name", pattern.name},
                                   {"agent", describe(found.agent)},
                                   {"bare", describe(found.bare)},
                                   {"bare_populated", describe(found.bare_populated)},
                                   {"ratio", agent / bare},
                                   {"ratio_populated", agent / populated}});
  }
  print_table(rows);
  return write_json(options.json_path, figures);
}

}  // namespace
}  // namespace godwit::bench

int main(int argc, char** argv) {
  godwit::bench::Options options;
  CLI::App app("the page path of the agents against a bare loop over the loopback interface");
  app.add_option("--memory", options.memory_bytes, "how much memory the process has")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--repeats", options.repeats)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--lanes", options.lanes)
      ->check(CLI::Range(size_t{1}, size_t{godwit::agent::lanes_max}))
      ->capture_default_str();
  app.add_option("--json", options.json_path, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  // Whole pages, and the pattern of zero pages twice at least.
  options.memory_bytes = std::max<uint64_t>(options.memory_bytes >> 20, 1) << 20;
  if (const auto done = godwit::bench::run(options); !done) {
    fmt::print(stderr, "bench-page-path: {}\n", done.error().message);
    return 1;
  }
  return 0;
}
