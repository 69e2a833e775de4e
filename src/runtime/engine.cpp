#include "runtime/engine.h"

#include <cstdlib>

#include "core/text.h"
#include "runtime/bubblewrap.h"
#include "runtime/docker.h"
#include "runtime/docker_host.h"

namespace moat::runtime {

Result<std::unique_ptr<Engine>> make_engine(Loop& loop, const std::string& name,
                                            const EngineOptions& options) {
  const auto bubblewrap = [&]() -> std::unique_ptr<Engine> {
    return std::make_unique<Bubblewrap>(loop, std::string(), options.init_path);
  };
  if (name == "bubblewrap") return bubblewrap();
  if (!name.empty() && name != "docker")
    return error(Errc::invalid, "there is no runtime '%s': choose docker or bubblewrap",
                 printable(name).c_str());
  const auto socket = find_docker_socket(options.docker_host, [](const char* variable) {
    return static_cast<const char*>(getenv(variable));
  });
  if (socket)
    return std::unique_ptr<Engine>(std::make_unique<Docker>(loop, *socket, options.init_path));
  if (name == "docker") return socket.error();
  return bubblewrap();
}

}  // namespace moat::runtime
