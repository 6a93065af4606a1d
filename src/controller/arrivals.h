// Pods whose names stay while they move: those of StatefulSets. The StatefulSet itself makes the pod anew as soon as
// the old one's object has gone, and the API server asks us what it is to become: the restore of the old one, on the
// destination.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"
#include "controller/admission_server.h"
#include "kube/client.h"

namespace godwit::controller {

// What a StatefulSet calls its pods by, before they have been created too.
inline constexpr const char* stateful_pod_label = "statefulset.kubernetes.io/pod-name";

struct Arrival {
  std::string node;
  std::string session;               // of the destination's agent
  nlohmann::json metadata;           // of the pod that moves: labels and annotations that its template does not know
  nlohmann::json running = nullptr;  // the pod itself, for its images; null: not known any more
};

// `made`: a pod as its owner wants to create it. Returns it as it is to be created.
nlohmann::json as_arrival(const nlohmann::json& made, const Arrival& arrival);
// What the API server is told about a pod: `request` and `response` of an AdmissionReview. `arrival`: nullptr if the
// pod is not expected.
nlohmann::json admission_of(const nlohmann::json& request, const Arrival* arrival);

// Any thread may call it.
class Arrivals {
 public:
  explicit Arrivals(kube::Client& client) : client_(client) {}

  // `address`, `port`: as of AdmissionServer::start(). Until then nothing can be expected.
  Result<> serve(const std::string& address, uint16_t port);
  [[nodiscard]] bool can_be_expected() const { return server_ != nullptr; }

  // From when it returns on, every pod that is made by that name is that one, and none can be made while we are not
  // there to say so. Replaces what was expected by that name.
  Result<> expect(const std::string& namespace_name, const std::string& pod, Arrival arrival, const kube::Call& call);
  // Pods of that name are made like any other again. Can be repeated.
  Result<> forget(const std::string& namespace_name, const std::string& pod, const kube::Call& call);

 private:
  nlohmann::json answer(const nlohmann::json& request);
  Result<> wait_in_force(const std::string& namespace_name, const std::string& pod, const std::string& session,
                         const kube::Call& call);

  kube::Client& client_;
  std::mutex mutex_;
  std::map<std::string, Arrival> expected_;  // by namespace/name
  std::unique_ptr<AdmissionServer> server_;  // its threads use what is above
};

}  // namespace godwit::controller
