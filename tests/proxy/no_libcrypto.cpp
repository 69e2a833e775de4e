// In place of dlopen (ld --wrap), on a machine that has no libcrypto.
#include <cerrno>

extern "C" void* __wrap_dlopen(const char* /*name*/, int /*flags*/) {
  errno = ENOENT;
  return nullptr;
}
