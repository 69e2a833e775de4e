// A trust store as Java reads it. The JDK takes no PEM bundle and no environment variable that is
// meant for this, so the sandbox's store is replaced by one that holds what is to be trusted.
#pragma once

#include <string>
#include <string_view>

#include "core/result.h"

namespace moat::runtime {

// All certificates in `pem`, in the format "JKS" (sun.security.provider.JavaKeyStore), which every
// JDK from 1.2 on reads, whatever its default type is; its integrity password is "changeit", as
// everywhere. Errc::invalid for a block that is not base64.
Result<std::string> java_trust_store(std::string_view pem);

}  // namespace moat::runtime
