#include "plugin/reading.h"

namespace godwit::plugin {
namespace {

constexpr auto read_time = std::chrono::seconds(60);

}  // namespace

std::optional<std::vector<nlohmann::json>> read_all(kube::Client& client, const kube::Resource& resource,
                                                    const kube::ListOptions& options, const Regret& regret) {
  auto listed = client.list_all(resource, options, kube::within(read_time));
  if (listed) return *std::move(listed);
  regret(resource.plural, listed.error());
  return std::nullopt;
}

}  // namespace godwit::plugin
