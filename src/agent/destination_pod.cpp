// What a destination has to do with the clone pod that its kubelet makes: questions, offers, and that a container is
// ended before it has arrived.
#include <poll.h>

#include <algorithm>

#include "agent/destination_worker.h"
#include "agent/pod_container.h"
#include "agent/pod_place.h"
#include "base/log.h"
#include "os/fd_passing.h"
#include "os/subprocess.h"

namespace godwit::agent {
namespace {

using nlohmann::json;

constexpr auto question_time = std::chrono::seconds(5);
// Half of what a kubelet gives its engine for the creation of a container. One that takes longer to arrive is there,
// for its kubelet, before it is.
constexpr auto create_time = std::chrono::seconds(60);
constexpr auto keeper_look_interval = std::chrono::milliseconds(100);
// For the clone pod to come so far: its image may have to be fetched, its init containers may be asked to run. Below
// the time that the source gives us.
constexpr auto pod_time = std::chrono::seconds(170);

}  // namespace

// The network plugin of a clone pod asks for the address, its runtime offers the container.
void DestinationWorker::serve_pod(UniqueFd connection) {
  auto question = read_pod_question(connection.get(), Deadline::after(question_time));
  if (!question) return log_warning("clone pod: {}", question.error().message);
  std::unique_lock lock(connections_mutex_);
  if (!question->refusal.empty()) {
    pod_refusal_ = question->refusal;
    return pod_changed_.notify_all();
  }
  if (question->container) {
    PodClaim claim(std::move(connection), std::move(*question->container));
    const bool all_made =
        !containers_.empty() && std::ranges::all_of(containers_, [](const auto& one) { return one != nullptr; });
    if (all_made && receiving_) return give_up_pod(claim);
    pod_.emplace(std::move(claim));
    return pod_changed_.notify_all();
  }
  pod_changed_.wait_for(lock, question_time, [&] { return !interface_.is_null() || !receiving_; });
  const json answer =
      interface_.is_null() ? json{{"error", "the source has not said which address it has"}} : interface_;
  lock.unlock();
  if (auto sent = os::send_message(connection.get(), answer.dump()); !sent)
    log_warning("clone pod: {}", sent.error().message);
}

// Its kubelet makes one of the containers anew: it has ended the one that was to arrive.
void DestinationWorker::give_up_pod(const PodClaim& claim) {
  const std::string reason = fmt::format(
      "container '{}' of the clone pod was ended before it had arrived, by its kubelet (does it have a "
      "liveness probe?) or because it took too long",
      claim.pod_name());
  claim.refuse(reason);
  mailbox_.post({.kind = Kind::failed, .reason = reason});
}

// Until nothing is received any more, and the restores begin.
void DestinationWorker::watch_keeper(const UniqueFd& pidfd, size_t member) {
  for (const Deadline patience = Deadline::after(create_time);;) {
    pollfd ended{pidfd.get(), POLLIN, 0};
    const int count = ::poll(&ended, 1, static_cast<int>(keeper_look_interval.count()));
    const std::lock_guard lock(connections_mutex_);
    if (!receiving_) return;
    if (patience.expired()) {
      if (auto told = containers_[member]->end_create(); !told) log_warning("clone pod: {}", told.error().message);
    }
    if (count <= 0) continue;
    mailbox_.post({.kind = Kind::failed,
                   .reason = "a container of the clone pod was ended by its kubelet before it had arrived: the pod was "
                             "deleted, or has a liveness probe"});
    return;
  }
}

Result<PodClaim> DestinationWorker::wait_for_pod(Deadline deadline) {
  std::unique_lock lock(connections_mutex_);
  pod_changed_.wait_until(lock, deadline.when(),
                          [&] { return pod_.has_value() || !pod_refusal_.empty() || !receiving_; });
  if (!pod_ && !pod_refusal_.empty()) return fail("the clone pod's network: {}", pod_refusal_);
  if (!pod_) return fail("the clone pod did not come to this node in time");
  PodClaim claim = std::move(*pod_);
  pod_.reset();
  return claim;
}

// Returns whose place was made.
Result<size_t> DestinationWorker::make_pod_place(const PrepareBody& body) {
  GODWIT_ASSIGN(PodClaim claim, wait_for_pod(Deadline::after(pod_time)));
  for (size_t member = 0; member < containers_.size(); ++member) {
    const ContainerDescription& description = member == 0 ? body.container : body.companions[member - 1].container;
    // A container that cannot be told apart is refused by its place.
    const bool only = containers_.size() == 1;
    if (!only && (containers_[member] || claim.pod_name() != container_name_of(description.config))) continue;
    record_.containers[member].name = claim.container().id;
    GODWIT_ASSIGN(auto place, PodPlace::make(config_, description, std::move(claim),
                                             {.directory = session_.member_path(member), .shared = !only}));
    if (!record_.netns_path.empty() && record_.netns_path != place->netns_path()) {
      return fail("the containers of the clone pod have different networks");
    }
    record_.netns_path = place->netns_path();
    record_.sandbox = place->sandbox();
    GODWIT_TRY(session_.write_record(to_json(record_)));
    GODWIT_ASSIGN(UniqueFd keeper, os::open_pidfd(place->keeper_pid()));
    const std::lock_guard lock(connections_mutex_);
    containers_[member] = std::make_unique<ArrivingContainer>(std::move(place), session_, member);
    start_thread([this, fd = keeper.release(), member] { watch_keeper(UniqueFd(fd), member); });
    return member;
  }
  const std::string reason =
      fmt::format("container '{}' of the clone pod is none of those that move", claim.pod_name());
  claim.refuse(reason);
  return fail("{}", reason);
}

}  // namespace godwit::agent
