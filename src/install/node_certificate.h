// The certificate of this node's agent: asked for with the token of the agent's pod, kept in the node's memory. What
// the controller does with the request is controller/certificate_signer.h.
#pragma once

#include <chrono>
#include <string>

#include "base/deadline.h"
#include "base/result.h"
#include "kube/client.h"

namespace godwit::install {

struct CertificatePlaces {
  std::string node;
  std::string namespace_name;  // of Godwit
  std::string directory;       // for ca.pem, node.pem and node.key, which the agent reads anew for each session
};

// Makes the files good, if they are not: asks for a new certificate when a third of the old one's life is left, and
// takes over what is to be trusted. Error: why they cannot be had, now.
Result<> keep_certificate(kube::Client& client, const CertificatePlaces& places, Deadline deadline);

}  // namespace godwit::install
