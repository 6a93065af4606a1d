// One container that a session brings to this node: its place here, and its restore.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "agent/destination_place.h"
#include "agent/peer_bodies.h"
#include "agent/session_directory.h"
#include "agent/timeline.h"
#include "criu/criu_program.h"
#include "criu/lazy_pages_socket.h"
#include "criu/restore.h"
#include "memory/eager_writer.h"
#include "memory/pager.h"

namespace godwit::agent {

// Where its memory comes from, together with the session's other containers, which may be restored at the same time.
struct MemoryFiller {
  memory::Pager& pager;
  memory::EagerWriter writer;
  std::mutex mutex;  // of the two above
};

// Owned by the destination worker; one thread at a time.
class ArrivingContainer {
 public:
  // `member`: its number in the session.
  ArrivingContainer(std::unique_ptr<DestinationPlace> place, const SessionDirectory& session, size_t member)
      : place_(std::move(place)), session_(session), member_(member) {}

  [[nodiscard]] const DestinationPlace& place() const { return *place_; }
  // The trees of files that go to it, by their numbers in the session.
  [[nodiscard]] std::vector<files::DestinationRoot> file_roots() const;

  // Up to a criu that only waits for its images.
  Result<> prepare(const criu::CriuProgram& criu, const std::string& runc_root, const std::vector<std::string>& stdio,
                   Deadline deadline);
  // After prepare(): the one that waits.
  [[nodiscard]] pid_t criu_pid() const { return restore_->criu_pid(); }
  // After prepare(), if its engine is not to wait for its arrival.
  Result<> end_create() { return place_->end_create(); }
  // Images and files are complete. On success it is held by its freezer, with all its memory but what the pager has.
  Result<> restore(const RestoreBody& body, MemoryFiller& filler, Timeline& timeline, Deadline deadline);
  // After restore().
  [[nodiscard]] const criu::Restored& restored() const { return *restored_; }
  // It may run from now on: it is no longer ours to take back.
  void release() { restore_->release(); }
  // After the thaw: waits for what of runc is left, and lets go of what only the restore needed.
  Result<> finish(Deadline deadline) { return restore_->finish(deadline); }
  Result<> unmount_tmpfs() { return place_->unmount_tmpfs(); }
  // Nothing of it is left when this returns. Can be repeated. The place stays until it is removed.
  Result<> discard(Deadline deadline);
  Result<> remove_place() { return place_->remove(); }

 private:
  Result<> sort_images() const;
  Result<> serve_lazy_pages(const RestoreBody& body, MemoryFiller& filler, Deadline deadline);
  Result<> fill_memory(const RestoreBody& body, MemoryFiller& filler, pid_t init_pid) const;
  static Result<> write_shared_objects(const RestoreBody& body, memory::EagerWriter& writer,
                                       const std::map<uint32_t, pid_t>& pids);
  [[nodiscard]] bool is_ours(const RestoreBody::Process& process) const { return process.member == member_; }

  std::unique_ptr<DestinationPlace> place_;
  const SessionDirectory& session_;
  size_t member_;
  std::optional<criu::LazyPagesSocket> lazy_socket_;
  std::unique_ptr<criu::Restore> restore_;
  std::optional<criu::Restored> restored_;
};

}  // namespace godwit::agent
