// What a test must see in a process of its own:
//   elect KUBECONFIG LEASE IDENTITY   a candidate; "leads MS SEQUENCE" every 5 ms while it leads, "lost MS 0"
//   follow KUBECONFIG                 an informer of all pods; "PODS RSS_KB PEAK_KB MS" when it has them all
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <thread>

#include "kube/fields.h"
#include "kube/informer.h"
#include "kube/leader_election.h"

namespace godwit::kube {
namespace {

using std::chrono::seconds;

double now_ms() {
  return std::chrono::duration<double, std::milli>(Clock::now().time_since_epoch()).count();
}

void say(const std::string& line) {
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, line.data(), line.size());
}

[[noreturn]] void elect(Client& client, const std::string& lease, const std::string& identity) {
  ElectionOptions options;
  options.namespace_name = "default";
  options.lease_name = lease;
  options.terms = {identity, seconds(4)};
  options.renew_within = seconds(2);
  options.retry_interval = milliseconds(300);
  LeaderElection election(
      client, options,
      {.on_gained = [](const FencingToken&) {}, .on_lost = [] { say(fmt::format("lost {:.3f} 0\n", now_ms())); }});
  election.start();
  for (;;) {
    const double asked = now_ms();
    if (const auto token = election.token()) say(fmt::format("leads {:.3f} {}\n", asked, token->sequence));
    std::this_thread::sleep_for(milliseconds(5));
  }
}

long status_kb(const std::string& field) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(field + ":")) return std::stol(line.substr(field.size() + 1));
  }
  return 0;
}

int follow(Client& client) {
  const auto began = Clock::now();
  InformerOptions options;
  // What whoever assesses pods has no use for.
  options.transform = drop_fields({"/metadata/managedFields", "/spec/containers/*/env", "/spec/containers/*/envFrom",
                                   "/spec/containers/*/livenessProbe", "/spec/containers/*/readinessProbe",
                                   "/spec/tolerations", "/status/conditions"});
  Informer informer(client, resources::pods, options);
  informer.start();
  if (!informer.wait_synced(Deadline::after(std::chrono::minutes(2)))) return 1;
  say(fmt::format("{} {} {} {:.0f}\n", informer.store().size(), status_kb("VmRSS"), status_kb("VmHWM"),
                  elapsed_ms(began)));
  return 0;
}

}  // namespace
}  // namespace godwit::kube

int main(int argc, char** argv) {
  using namespace godwit::kube;
  const std::string verb = argc > 2 ? argv[1] : "";
  const auto access =
      verb.empty() ? godwit::Result<ClusterAccess>(godwit::fail("what?")) : load_kubeconfig({argv[2], ""});
  if (!access) {
    std::fprintf(stderr, "%s\n", access.error().message.c_str());
    return 2;
  }
  Client client(*access);
  if (verb == "elect" && argc == 5) elect(client, argv[3], argv[4]);
  if (verb == "follow") return follow(client);
  return 2;
}
