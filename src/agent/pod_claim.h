// Where a pod's runtime and network plugin meet the worker of the session that brings the pod's container.
//
// A clone pod carries the annotation `cast.ai/restore` with the session's id. Its kubelet makes it like any other pod;
// but for its network godwit-cni asks the session which address the container has, and instead of `runc create`
// godwit-runc offers what was made for the container (bundle, names, streams), and makes a child that becomes the `runc
// restore` that the session orders. So the container's first process is the child of the pod's own shim, like that of
// any container.
//
// `create` ends when the container has arrived, or before that: of a pod with several containers for all but the last
// that is offered, and of one that takes longer than a kubelet would wait. A placeholder has the first process's number
// until then (pid_keeper.h).
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "agent/pid_keeper.h"
#include "base/deadline.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "os/subprocess.h"

namespace godwit::agent {

constexpr const char* restore_annotation = "cast.ai/restore";
constexpr const char* run_init_containers_annotation = "cast.ai/restore-run-init-containers";
constexpr const char* pod_role = "pod";  // of a connection to the worker, beside those of transfer/preamble.h

// What a kubelet's container engine has made for a container.
struct OfferedContainer {
  std::string id;
  std::string bundle;
  std::string runc_root;
  std::string pid_file;
};

// The worker's end.
class PodClaim {
 public:
  // `connection`: of the pod's runtime, which has offered `container` on it.
  PodClaim(UniqueFd connection, OfferedContainer container)
      : connection_(std::move(connection)), container_(std::move(container)) {}
  [[nodiscard]] const OfferedContainer& container() const { return container_; }
  // What its pod calls it, by its bundle; empty: it does not say.
  [[nodiscard]] std::string pod_name() const;
  // First of all: the container is taken.
  Result<PidKeeper> keep_pid(Deadline deadline);
  // Has a child of the runtime become that program. It takes its own standard streams along.
  Result<os::Subprocess> start(const os::Command& command) const;
  // After start(): lets the runtime end well.
  [[nodiscard]] Result<> end_create(pid_t pid) const;
  void refuse(const std::string& reason) const;

 private:
  UniqueFd connection_;
  OfferedContainer container_;
};

// What was said on a connection of role `pod`.
struct PodQuestion {
  std::optional<OfferedContainer> container;  // it is offered; nothing: which address has it
  std::string refusal;                        // not empty: why there will be no pod, whatever else is asked
};
Result<PodQuestion> read_pod_question(int connection, Deadline deadline);

// The pod's ends. Both wait until the session is there and knows the answer; an error says why it will not.
// The answer to "which address": network::InterfaceConfig as JSON, with the member "network" (network_mode.h).
Result<nlohmann::json> ask_interface(const std::string& session, Deadline deadline);
// The pod cannot be made; the session need not wait for it.
void tell_refusal(const std::string& session, const std::string& reason, Deadline deadline);
enum class Offered : uint8_t {
  not_wanted,  // the session has ended well: the container was restored, and has ended since; make a new one
  created,     // it is created as far as its engine must know
};
// The calling program has one thread.
Result<Offered> offer_container(const std::string& session, const OfferedContainer& container, Deadline deadline);

}  // namespace godwit::agent
