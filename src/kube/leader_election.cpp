#include "kube/leader_election.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "base/log.h"

namespace godwit::kube {
namespace {

constexpr milliseconds release_time_max(3000);

}  // namespace

std::string election_identity() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';
  std::random_device random;
  return fmt::format("{}_{:08x}{:08x}", host.data(), random(), random());
}

FencingToken fencing_token(const LeaseRecord& record) {
  constexpr int transition_bits = 31;  // leaseTransitions is an int32
  const auto created = parse_timestamp(record.created).value_or(WallTime{}).time_since_epoch();
  const int64_t created_s = std::chrono::floor<std::chrono::seconds>(created).count();
  return {record.holder, record.transitions, (created_s << transition_bits) | record.transitions};
}

LeaderElection::LeaderElection(Client& client, ElectionOptions options, Handlers handlers)
    : client_(client), options_(std::move(options)), handlers_(std::move(handlers)) {
  GODWIT_CHECK(options_.renew_within < options_.terms.duration && options_.retry_interval < options_.renew_within);
  GODWIT_CHECK(!options_.terms.identity.empty());
}

LeaderElection::~LeaderElection() {
  stop();
}

void LeaderElection::start() {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

void LeaderElection::stop() {
  if (!thread_.joinable()) return;
  thread_.request_stop();
  thread_.join();
}

std::optional<FencingToken> LeaderElection::token() const {
  const std::lock_guard lock(mutex_);
  return Clock::now() < good_until_ ? token_ : std::nullopt;
}

std::string LeaderElection::holder() const {
  const std::lock_guard lock(mutex_);
  return sighting_ ? sighting_->record.holder : "";
}

ObjectPath LeaderElection::lease_path() const {
  return {resources::leases, options_.namespace_name, options_.lease_name, ""};
}

void LeaderElection::run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    // This thread was suspended, or an answer took too long.
    if (told_ && !leads()) end_leadership("the lease was not renewed in time");
    const ApiResult<> tried = try_once(stop);
    tell_what_changed(tried);
    sleep_unless_stopped(next_wait(), Deadline::never(), stop);
  }
  if (!told_) return;
  const bool still_ours = leads();
  {
    const std::lock_guard lock(mutex_);
    good_until_ = {};
  }
  end_leadership("asked to stop");
  if (still_ours) release();
}

void LeaderElection::tell_what_changed(const ApiResult<>& tried) {
  const std::optional<FencingToken> now = token();
  // A token that is another: somebody else has led in between.
  if (told_ && now != told_) end_leadership(tried ? "another took the lease" : tried.error().message.c_str());
  if (now && !told_) {
    told_ = now;
    log_info("leading: transition {} of {}", now->transitions, shown(lease_path()));
    handlers_.on_gained(*now);
  }
  if (!tried && !tried.error().stopped() && !tried.error().conflict()) log_warning("{}", tried.error().message);
}

milliseconds LeaderElection::next_wait() {
  // Candidates that wait for the same Lease must not all ask at the same moment.
  const BackoffLimits limits{options_.retry_interval, options_.retry_interval * 2, 0.2};
  const milliseconds wait = backoff_delay(limits, 0, jitter_.next());
  if (!told_) return wait;
  const std::lock_guard lock(mutex_);
  const auto left = std::chrono::ceil<milliseconds>(good_until_ - Clock::now());
  return std::clamp(wait, milliseconds(0), std::max(left, milliseconds(0)));
}

// One look at the Lease, and one write if it is ours or free. While leading no call goes on longer than the leadership.
ApiResult<> LeaderElection::try_once(const std::stop_token& stop) {
  Deadline deadline = Deadline::after(options_.renew_within);
  std::optional<LeaseSighting> known;
  {
    const std::lock_guard lock(mutex_);
    if (told_) deadline = Deadline::at(good_until_);
    known = sighting_;
  }
  const Call call{.deadline = deadline, .stop = stop};
  // A leader renews what it wrote last; only if that has been changed meanwhile it looks.
  if (!told_ || !known) {
    GODWIT_TRY(read_lease(call));
  }
  for (int reads = 0;; ++reads) {
    {
      const std::lock_guard lock(mutex_);
      known = sighting_;
      if (known && !may_acquire(*known, options_.terms, Clock::now())) {
        if (known->record.holder != options_.terms.identity) good_until_ = {};
        return {};
      }
    }
    const auto sent = Clock::now();
    const LeaseRecord record = known ? known->record : LeaseRecord{};
    auto written = write_lease(acquired_spec(record, options_.terms, std::chrono::system_clock::now()), call);
    if (written) {
      adopt(*written, sent);
      return {};
    }
    if (!written.error().conflict() && !written.error().not_found() && !written.error().already_exists()) {
      return std::unexpected(std::move(written).error());
    }
    if (reads > 0) return std::unexpected(std::move(written).error());
    GODWIT_TRY(read_lease(call));
  }
}

ApiResult<> LeaderElection::read_lease(const Call& call) {
  auto lease = client_.get(lease_path(), call);
  const std::lock_guard lock(mutex_);
  if (!lease && lease.error().not_found()) {
    sighting_.reset();
    return {};
  }
  if (!lease) return std::unexpected(std::move(lease).error());
  sighting_ = sight(sighting_, decode_lease(*lease), Clock::now());
  return {};
}

// Only if nobody else wrote it since we saw it.
ApiResult<json> LeaderElection::write_lease(const json& spec, const Call& call) {
  std::string version;
  {
    const std::lock_guard lock(mutex_);
    if (sighting_) version = sighting_->record.resource_version;
  }
  json lease = {{"spec", spec}};
  if (!version.empty()) {
    lease["metadata"]["resourceVersion"] = version;
    return client_.patch(lease_path(), PatchType::merge, lease, call);
  }
  lease["apiVersion"] = resources::leases.api_version();
  lease["kind"] = resources::leases.kind;
  lease["metadata"] = {{"name", options_.lease_name}, {"namespace", options_.namespace_name}};
  return client_.create({resources::leases, options_.namespace_name, "", ""}, lease, call);
}

void LeaderElection::adopt(const json& lease, Clock::time_point sent) {
  const std::lock_guard lock(mutex_);
  sighting_ = sight(sighting_, decode_lease(lease), Clock::now());
  token_ = fencing_token(sighting_->record);
  good_until_ = sent + options_.renew_within;
}

void LeaderElection::end_leadership(const char* why) {
  told_.reset();
  log_warning("no longer leading: {}", why);
  handlers_.on_lost();
}

void LeaderElection::release() {
  LeaseRecord record;
  {
    const std::lock_guard lock(mutex_);
    if (sighting_) record = sighting_->record;
  }
  const auto released = write_lease(released_spec(record, std::chrono::system_clock::now()), within(release_time_max));
  if (!released) log_warning("could not give the lease up: {}", released.error().message);
}

}  // namespace godwit::kube
