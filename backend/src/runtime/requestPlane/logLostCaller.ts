import type { Logger } from '../../observability/index.ts';
import type { LostCaller } from './tcpServerConnection.ts';

/**
 * Says that a requester left while its answer was being streamed, in the words of Dynamo 0.7 (`tcp/client.rs`, where the worker is the client of the
 * response stream), and names the plane: those words were taken for a broken KV transfer (#6393, #8254).
 */
export function logLostCaller(logger: Logger): (lost: LostCaller) => void {
  const log = logger.child('dynamo_runtime::pipeline::network::tcp::client');
  return ({ code, peer, peerPort, requestIds }) => {
    const fields = { plane: 'request (response stream)', peer, request_ids: requestIds.join(',') };
    if (code === 'EPIPE') {
      log.error('failed to join writer task: I/O error: Broken pipe (os error 32)', { ...fields, cause: 'the requester has closed the connection' });
    } else if (code === 'ECONNRESET') {
      log.error(
        `reader task failed to join (peer_port: ${peerPort === undefined ? 'None' : `Some(${peerPort})`}, subject: ${requestIds[0]}): fatal error - failed to decode message from stream; invalid line protocol: Io(Os { code: 104, kind: ConnectionReset, message: "Connection reset by peer" })`,
        { ...fields, cause: 'the requester closed the connection with answers unread' },
      );
    } else log.warn(`the requester left before its answer was complete${code === undefined ? '' : `: ${code}`}`, fields);
  };
}
