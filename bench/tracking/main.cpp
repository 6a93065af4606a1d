// bench-tracking: what a round of the pre-copy costs besides copying: putting a process under tracking, finding what it
// wrote, and what the process itself feels of it.
//
// A copy of as much memory by memcpy in the same run is the measure: how fast the machine is today.
#include <sys/mman.h>

#include <CLI/CLI.hpp>

#include "bench/common/report.h"
#include "bench/common/workload.h"
#include "memory/precopy.h"
#include "memory/tracker.h"
#include "os/pagemap.h"

namespace godwit::bench {
namespace {

using memory::DirtyTracker;
using memory::TrackerKind;
using nlohmann::json;

struct Options {
  uint64_t memory_bytes = uint64_t{1} << 30;
  uint64_t dirty_pages = 10'000;
  int repeats = 15;
  std::string json_path;
};

struct Measurement {
  const char* name;
  const char* description;
  const char* unit;
  std::vector<double> values;
};

struct Costs {
  Measurement memcpy_ms{"memcpy_ms", "memcpy of as much memory", "ms", {}};
  Measurement arm_ms{"arm_ms", "arm: put a userfaultfd into the process", "ms", {}};
  Measurement injection_us{"injection_us", "  of which a thread of it is stopped", "us", {}};
  Measurement first_ms{"first_scan_ms", "first scan: all pages found and protected", "ms", {}};
  Measurement clean_ms{"clean_rescan_ms", "rescan, nothing written", "ms", {}};
  Measurement dirty_ms{"dirty_rescan_ms", "rescan, pages written all over", "ms", {}};
  Measurement round_ms{"clean_round_ms", "whole round of the pre-copy, nothing written", "ms", {}};
  Measurement disarm_ms{"disarm_ms", "disarm", "ms", {}};
  Measurement protected_ns{"first_write_ns", "the process: first write to a protected page", "ns", {}};
  Measurement plain_ns{"plain_write_ns", "the process: the same write unprotected", "ns", {}};

  [[nodiscard]] std::vector<const Measurement*> all() const {
    return {&memcpy_ms, &arm_ms,   &injection_us, &first_ms,     &clean_ms,
            &dirty_ms,  &round_ms, &disarm_ms,    &protected_ns, &plain_ns};
  }
};

// Two stretches of memory of our own, of small pages as those that are tracked.
class CopyMeasure {
 public:
  explicit CopyMeasure(size_t bytes)
      : bytes_(bytes), memory_(::mmap(nullptr, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    GODWIT_CHECK(memory_ != MAP_FAILED);
    ::madvise(memory_, 2 * bytes, MADV_NOHUGEPAGE);
    std::memset(memory_, 1, 2 * bytes);
  }
  CopyMeasure(const CopyMeasure&) = delete;
  CopyMeasure& operator=(const CopyMeasure&) = delete;
  ~CopyMeasure() { ::munmap(memory_, 2 * bytes_); }

  [[nodiscard]] double run_ms() const {
    const auto began = Clock::now();
    std::memcpy(memory_, static_cast<std::byte*>(memory_) + bytes_, bytes_);
    return elapsed_ms(began);
  }

 private:
  size_t bytes_;
  void* memory_;
};

// Takes note of nothing: what it costs to deliver pages is bench-page-path's to say.
class NullSink final : public memory::RunSink {
 public:
  Result<> add_process(const memory::ProcessIdentity&) override { return {}; }
  Result<> add_shared(const memory::SharedIdentity&) override { return {}; }
  Result<> submit(const memory::ProcessIdentity&, const memory::Run&) override { return {}; }
  Result<> submit_shared(const memory::SharedIdentity&, uint64_t, std::span<const std::byte>) override { return {}; }
  Result<> submit_shared_absent(const memory::SharedIdentity&, uint64_t, uint64_t) override { return {}; }
  Result<> drop_process(const memory::ProcessIdentity&) override { return {}; }
  Result<> drop_shared(const memory::SharedIdentity&) override { return {}; }
};

// One scan; fails unless it finds `pages_min` to `pages_max` pages.
Result<double> scan_ms(DirtyTracker& tracker, uint64_t pages_min, uint64_t pages_max) {
  const auto began = Clock::now();
  GODWIT_ASSIGN(const memory::ScanReport report, tracker.scan_and_rearm([](const memory::Run&) { return Result<>(); }));
  const double took_ms = elapsed_ms(began);
  if (report.data_pages < pages_min || report.data_pages > pages_max) {
    return fail("a scan found {} pages instead of {} to {}", report.data_pages, pages_min, pages_max);
  }
  return took_ms;
}

Result<> measure_tracker(const Workload& workload, TrackerKind kind, const Options& options, Costs& costs) {
  constexpr uint64_t few = 64;  // what the process writes besides: its stack and the like
  const uint64_t all_pages = workload.bytes() / os::page_bytes;
  const auto tracker = memory::make_tracker(
      kind, workload.pid(),
      {.stop = [&] { return workload.freezer().freeze(Deadline::after(std::chrono::seconds(5))); },
       .resume = [&] { return workload.freezer().thaw(Deadline::after(std::chrono::seconds(5))); }});
  auto began = Clock::now();
  GODWIT_TRY(tracker->arm());
  costs.arm_ms.values.push_back(elapsed_ms(began));
  costs.injection_us.values.push_back(tracker->frozen_us());
  GODWIT_ASSIGN(const double first_ms, scan_ms(*tracker, all_pages, UINT64_MAX));
  costs.first_ms.values.push_back(first_ms);
  GODWIT_ASSIGN(const double clean_ms, scan_ms(*tracker, 0, few));
  costs.clean_ms.values.push_back(clean_ms);
  GODWIT_ASSIGN(const double protected_ns, workload.write_to_pages(options.dirty_pages));
  costs.protected_ns.values.push_back(protected_ns);
  GODWIT_ASSIGN(const double dirty_ms, scan_ms(*tracker, options.dirty_pages, options.dirty_pages + few));
  costs.dirty_ms.values.push_back(dirty_ms);
  began = Clock::now();
  GODWIT_TRY(tracker->disarm());
  costs.disarm_ms.values.push_back(elapsed_ms(began));
  GODWIT_ASSIGN(const double plain_ns, workload.write_to_pages(options.dirty_pages));
  costs.plain_ns.values.push_back(plain_ns);
  return {};
}

Result<> measure_round(const Workload& workload, TrackerKind kind, Costs& costs) {
  NullSink sink;
  memory::PrecopySource precopy(workload.freezer(), {.tracker = kind});
  const Deadline deadline = Deadline::after(std::chrono::seconds(60));
  GODWIT_TRY(precopy.run_round(sink, deadline));
  const auto began = Clock::now();
  GODWIT_TRY(precopy.run_round(sink, deadline));
  costs.round_ms.values.push_back(elapsed_ms(began));
  return {};
}

Result<> report(const Costs& costs, const Options& options, TrackerKind kind) {
  const double memcpy_ms = median(costs.memcpy_ms.values);
  std::vector<std::vector<std::string>> rows = {{"", "median", "least", "most", "", "of the memcpy"}};
  json figures = {{"memory_bytes", options.memory_bytes},
                  {"dirty_pages", options.dirty_pages},
                  {"repeats", options.repeats},
                  {"tracker", memory::to_string(kind)}};
  for (const Measurement* measured : costs.all()) {
    const json figure = summary(measured->values);
    figures[measured->name] = figure;
    const auto number = [&](const char* name) { return fmt::format("{:.2f}", figure[name].get<double>()); };
    const bool comparable = std::string_view(measured->unit) == "ms";
    rows.push_back({measured->description, number("median"), number("min"), number("max"), measured->unit,
                    comparable ? fmt::format("{:.2f} %", 100 * median(measured->values) / memcpy_ms) : std::string()});
  }
  print_table(rows);
  return write_json(options.json_path, figures);
}

Result<> run(const Options& options) {
  const TrackerKind kind = memory::best_tracker(memory::probe_trackers());
  fmt::print("tracking: {} MiB of memory, {} pages written in between, tracker {}, {} repeats\n\n",
             options.memory_bytes >> 20, options.dirty_pages, memory::to_string(kind), options.repeats);
  if (kind == TrackerKind::none) return fail("this kernel can track no writes");
  GODWIT_ASSIGN(const auto workload, Workload::start(options.memory_bytes, [](std::span<std::byte> memory) {
                  std::memset(memory.data(), 1, memory.size());
                }));
  const CopyMeasure copy(options.memory_bytes);
  Costs costs;
  for (int i = 0; i < options.repeats; ++i) {
    costs.memcpy_ms.values.push_back(copy.run_ms());
    GODWIT_TRY(measure_tracker(*workload, kind, options, costs));
    GODWIT_TRY(measure_round(*workload, kind, costs));
  }
  return report(costs, options, kind);
}

}  // namespace
}  // namespace godwit::bench

int main(int argc, char** argv) {
  godwit::bench::Options options;
  CLI::App app("the cost of finding what a process wrote");
  app.add_option("--memory", options.memory_bytes, "how much memory the process has")
      ->transform(CLI::AsSizeValue(false))
      ->capture_default_str();
  app.add_option("--dirty-pages", options.dirty_pages)->check(CLI::Range(1, 1 << 30))->capture_default_str();
  app.add_option("--repeats", options.repeats)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("--json", options.json_path, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  options.memory_bytes = std::max<uint64_t>(options.memory_bytes >> 20, 1) << 20;
  if (const auto done = godwit::bench::run(options); !done) {
    fmt::print(stderr, "bench-tracking: {}\n", done.error().message);
    return 1;
  }
  return 0;
}
