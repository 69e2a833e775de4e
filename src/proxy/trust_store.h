// TrustStore's certificates, for those who verify with them.
#pragma once

#include <string>
#include <vector>

#include "proxy/ca_leaf.h"
#include "proxy/tls.h"

namespace moat::proxy {

struct TrustStore::Impl {
  std::vector<std::string> extra_files;
  std::unique_ptr<Certificate> roots;  // a list; null until loaded
};

}  // namespace moat::proxy
