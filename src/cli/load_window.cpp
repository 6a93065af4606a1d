#include "cli/load_window.h"

#include <algorithm>
#include <cmath>

namespace godwit::cli {

void WaitHistogram::add(double ms) {
  const double step = std::log2(std::max(1.0, ms * 1000)) * steps_per_octave;
  ++counts_[std::min(counts_.size() - 1, static_cast<size_t>(step))];
  ++total_;
}

double WaitHistogram::percentile_ms(double percent) const {
  const auto rank = static_cast<uint64_t>(std::max(1.0, std::ceil(percent / 100 * static_cast<double>(total_))));
  uint64_t seen = 0;
  for (size_t step = 0; step < counts_.size(); ++step) {
    seen += counts_[step];
    if (seen >= rank) return std::exp2(static_cast<double>(step + 1) / steps_per_octave) / 1000;
  }
  return 0;
}

void LoadWindow::on_reply(size_t client, double wait_ms) {
  ++report_.requests;
  waits_.add(wait_ms);
  on_wait(client, wait_ms);
}

void LoadWindow::on_wait(size_t client, double wait_ms) {
  longest_ms_[client] = std::max(longest_ms_[client], wait_ms);
}

void LoadWindow::on_lost(const std::string& problem) {
  ++report_.lost;
  remember(problem);
}

void LoadWindow::on_reordered(const std::string& problem) {
  ++report_.reordered;
  remember(problem);
}

void LoadWindow::on_reset(const std::string& problem) {
  ++report_.resets;
  remember(problem);
}

void LoadWindow::remember(const std::string& problem) {
  if (report_.first_problem.empty()) report_.first_problem = problem.substr(0, 1000);
}

WindowReport LoadWindow::report(Clock::time_point now) const {
  WindowReport report = report_;
  report.seconds = elapsed_ms(began_, now) / 1000;
  report.client_gap_ms_max = percentile(longest_ms_, 100);
  report.client_gap_ms_p99 = percentile(longest_ms_, 99);
  report.wait_ms_p50 = waits_.percentile_ms(50);
  report.wait_ms_p99 = waits_.percentile_ms(99);
  return report;
}

}  // namespace godwit::cli
