#include "ucx_library.h"

#include <dlfcn.h>

#include <cstdlib>

namespace dynamo_labs::transfer {

namespace {

ucx::Functions functions;

template <class Function> bool find(void* library, const char* name, Function& out, std::string& missing) {
  out = reinterpret_cast<Function>(dlsym(library, name));
  if (!out) missing = std::string("no ") + name + " in it";
  return out != nullptr;
}

UcxLibrary load() {
  UcxLibrary out;
  const char* wanted = getenv("DYNAMO_LABS_LIBUCP");
  // Read by UCX when it is loaded. It must neither take over Node's signal handlers, nor patch mmap for a cache of registrations that a stream does
  // not use, nor write to our stdout. Whoever has set them keeps his values.
  setenv("UCX_ERROR_SIGNALS", "", 0);
  setenv("UCX_MEM_MMAP_HOOK_MODE", "none", 0);
  setenv("UCX_LOG_LEVEL", "fatal", 0);
  void* library = dlopen(wanted ? wanted : "libucp.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    out.missing = dlerror();
    return out;
  }
  ucx::Functions& f = functions;
  const bool complete =
      find(library, "ucp_get_version", f.get_version, out.missing) && find(library, "ucp_get_version_string", f.get_version_string, out.missing) &&
      find(library, "ucp_init_version", f.init_version, out.missing) && find(library, "ucp_cleanup", f.cleanup, out.missing) &&
      find(library, "ucp_worker_create", f.worker_create, out.missing) && find(library, "ucp_worker_destroy", f.worker_destroy, out.missing) &&
      find(library, "ucp_worker_progress", f.worker_progress, out.missing) && find(library, "ucp_worker_get_efd", f.worker_get_efd, out.missing) &&
      find(library, "ucp_worker_arm", f.worker_arm, out.missing) && find(library, "ucp_listener_create", f.listener_create, out.missing) &&
      find(library, "ucp_listener_query", f.listener_query, out.missing) && find(library, "ucp_listener_destroy", f.listener_destroy, out.missing) &&
      find(library, "ucp_listener_reject", f.listener_reject, out.missing) && find(library, "ucp_ep_create", f.ep_create, out.missing) &&
      find(library, "ucp_ep_close_nbx", f.ep_close_nbx, out.missing) && find(library, "ucp_stream_send_nbx", f.stream_send_nbx, out.missing) &&
      find(library, "ucp_stream_recv_data_nb", f.stream_recv_data_nb, out.missing) && find(library, "ucp_stream_data_release", f.stream_data_release, out.missing) &&
      find(library, "ucp_request_check_status", f.request_check_status, out.missing) && find(library, "ucp_request_free", f.request_free, out.missing);
  if (!complete) return out;
  unsigned major = 0, minor = 0, release = 0;
  f.get_version(&major, &minor, &release);
  out.version = f.get_version_string();
  if (major != 1 || minor < 11) out.missing = "UCX " + out.version + ": 1.11 or newer of major version 1 is needed";
  else out.functions = &functions;
  return out;
}

} // namespace

const UcxLibrary& UcxLibrary::get() {
  static const UcxLibrary library = load();
  return library;
}

} // namespace dynamo_labs::transfer
