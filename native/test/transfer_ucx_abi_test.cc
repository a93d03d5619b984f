// The structures that the UCX transport declares for itself are those of UCX's headers, where they are installed.
#include <cstdio>

#include "transfer/check.h"
#include "transfer/ucx_abi.h"

#if __has_include(<ucp/api/ucp.h>)
#include <ucp/api/ucp.h>

using namespace dynamo_labs::transfer::ucx;

#define SAME(ours, our_field, theirs, their_field)                                                                                                   \
  static_assert(offsetof(ours, our_field) == offsetof(theirs, their_field) && sizeof(ours::our_field) == sizeof(theirs::their_field))

static_assert(sizeof(Status) == sizeof(ucs_status_t) && kUnreachable == UCS_ERR_UNREACHABLE && kBusy == UCS_ERR_BUSY && kCanceled == UCS_ERR_CANCELED && kRejected == UCS_ERR_REJECTED &&
              kNotConnected == UCS_ERR_NOT_CONNECTED && kConnectionReset == UCS_ERR_CONNECTION_RESET && kEndpointTimeout == UCS_ERR_ENDPOINT_TIMEOUT);

static_assert(sizeof(Params) >= sizeof(ucp_params_t) && kFieldFeatures == UCP_PARAM_FIELD_FEATURES && kFeatureWakeup == UCP_FEATURE_WAKEUP && kFeatureStream == UCP_FEATURE_STREAM);
SAME(Params, features, ucp_params_t, features);

static_assert(sizeof(WorkerParams) >= sizeof(ucp_worker_params_t) && kWorkerFieldThreadMode == UCP_WORKER_PARAM_FIELD_THREAD_MODE && kThreadSerialized == UCS_THREAD_MODE_SERIALIZED);
SAME(WorkerParams, thread_mode, ucp_worker_params_t, thread_mode);

static_assert(sizeof(SockAddr) == sizeof(ucs_sock_addr_t) && sizeof(ListenerParams) >= sizeof(ucp_listener_params_t) && sizeof(ListenerAttr) >= sizeof(ucp_listener_attr_t));
static_assert(kListenerFieldSockAddr == UCP_LISTENER_PARAM_FIELD_SOCK_ADDR && kListenerFieldConnHandler == UCP_LISTENER_PARAM_FIELD_CONN_HANDLER && kListenerAttrSockAddr == UCP_LISTENER_ATTR_FIELD_SOCKADDR);
SAME(ListenerParams, address, ucp_listener_params_t, sockaddr);
SAME(ListenerParams, on_connection, ucp_listener_params_t, conn_handler.cb);
SAME(ListenerParams, on_connection_argument, ucp_listener_params_t, conn_handler.arg);
SAME(ListenerAttr, address, ucp_listener_attr_t, sockaddr);

static_assert(sizeof(EpParams) >= sizeof(ucp_ep_params_t) && kEpFieldErrMode == UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE && kEpFieldErrHandler == UCP_EP_PARAM_FIELD_ERR_HANDLER &&
              kEpFieldSockAddr == UCP_EP_PARAM_FIELD_SOCK_ADDR && kEpFieldFlags == UCP_EP_PARAM_FIELD_FLAGS && kEpFieldConnRequest == UCP_EP_PARAM_FIELD_CONN_REQUEST &&
              kEpClientServer == UCP_EP_PARAMS_FLAGS_CLIENT_SERVER && kEpNoLoopback == UCP_EP_PARAMS_FLAGS_NO_LOOPBACK && kErrModePeer == UCP_ERR_HANDLING_MODE_PEER);
SAME(EpParams, err_mode, ucp_ep_params_t, err_mode);
SAME(EpParams, on_error, ucp_ep_params_t, err_handler.cb);
SAME(EpParams, on_error_argument, ucp_ep_params_t, err_handler.arg);
SAME(EpParams, flags, ucp_ep_params_t, flags);
SAME(EpParams, address, ucp_ep_params_t, sockaddr);
SAME(EpParams, connection_request, ucp_ep_params_t, conn_request);

static_assert(sizeof(RequestParam) >= sizeof(ucp_request_param_t) && kOpFieldCallback == UCP_OP_ATTR_FIELD_CALLBACK && kOpFieldUserData == UCP_OP_ATTR_FIELD_USER_DATA &&
              kOpFieldFlags == UCP_OP_ATTR_FIELD_FLAGS && kEpCloseForce == UCP_EP_CLOSE_FLAG_FORCE);
SAME(RequestParam, op_attr_mask, ucp_request_param_t, op_attr_mask);
SAME(RequestParam, flags, ucp_request_param_t, flags);
SAME(RequestParam, on_sent, ucp_request_param_t, cb.send);
SAME(RequestParam, datatype, ucp_request_param_t, datatype);
SAME(RequestParam, user_data, ucp_request_param_t, user_data);

int main() { std::printf("as in the headers of UCX %d.%d\n", UCP_API_MAJOR, UCP_API_MINOR); }
#else
int main() { std::printf("skipped: UCX's headers are not installed\n"); }
#endif
