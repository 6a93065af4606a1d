#include "bench/common/report.h"

#include <fcntl.h>

#include <algorithm>
#include <cstdio>

#include "os/file.h"

namespace godwit::bench {

double median(std::vector<double> values) {
  GODWIT_CHECK(!values.empty());
  std::ranges::sort(values);
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

nlohmann::json summary(const std::vector<double>& values) {
  const auto [least, most] = std::ranges::minmax(values);
  return {{"median", median(values)}, {"min", least}, {"max", most}};
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      fmt::print("{}", i == 0 ? fmt::format("{:<{}}", row[i], widths[i]) : fmt::format("  {:>{}}", row[i], widths[i]));
    }
    fmt::print("\n");
  }
  (void)std::fflush(stdout);
}

Result<> write_json(const std::string& path, const nlohmann::json& figures) {
  if (path.empty()) return {};
  GODWIT_ASSIGN(const UniqueFd file, os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  const std::string text = figures.dump(2) + "\n";
  return os::write_all(file.get(), text.data(), text.size());
}

}  // namespace godwit::bench
