// The HTTPS server that the API server asks before it creates an object (admission.k8s.io/v1, AdmissionReview). Its
// certificate is made when it starts, by an authority of its own that nobody else uses: whoever registers a webhook
// hands that authority over with it, so there is nothing to distribute and nothing to renew.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "base/result.h"

namespace godwit::controller {

class AdmissionServer {
 public:
  // Gets the `request` of a review, returns its `response`, without the uid. Called by any of the server's threads.
  using Answer = std::function<nlohmann::json(const nlohmann::json& request)>;

  // `address`: numeric, one by which the API server reaches this machine. Port 0: any.
  static Result<std::unique_ptr<AdmissionServer>> start(const std::string& address, uint16_t port, Answer answer);
  ~AdmissionServer();
  AdmissionServer(const AdmissionServer&) = delete;
  AdmissionServer& operator=(const AdmissionServer&) = delete;

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const std::string& ca_pem() const { return ca_pem_; }

 private:
  struct Implementation;
  AdmissionServer();

  std::unique_ptr<Implementation> implementation_;
  std::string url_;
  std::string ca_pem_;
};

}  // namespace godwit::controller
