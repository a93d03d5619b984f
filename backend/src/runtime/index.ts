/** The planes between frontends and workers: discovery, requests, events. Each is chosen on its own. */
export { createDiscovery, discoveryBackends, type DiscoveryBackend } from './discovery/createDiscovery.ts';
export { DiscoveryError, type Discovery, type EventChannel, type Instance, type InstanceListener, type Transport } from './discovery/discovery.ts';
export { FileDiscovery } from './discovery/fileDiscovery.ts';
export { KubernetesDiscovery } from './discovery/kubernetesDiscovery.ts';
export { MemoryDiscovery, MemoryStore } from './discovery/memoryDiscovery.ts';
export { createEventPlane, eventPlaneKind } from './eventPlane/createEventPlane.ts';
export { eventPlanes, type EventPlane, type EventPlaneKind, type EventPlaneState, type EventSubscription } from './eventPlane/eventPlane.ts';
export { NatsEventPlane } from './eventPlane/natsEventPlane.ts';
export { ZmqEventPlane } from './eventPlane/zmqEventPlane.ts';
export { instanceIdOfPod, randomInstanceId } from './instanceId.ts';
export { decodeKvEvent, decodeKvEventBatch, encodeKvEvent, encodeKvEventBatch, type KvEventBatch, type WireKvEvent } from './kvEventCodec.ts';
export { dynamoNamespace, endpointNames, topics } from './planes.ts';
export {
  CallerSatisfiedError,
  HandlerError,
  type RequestCall,
  type RequestContext,
  type RequestHandler,
  type RequestPlaneClient,
  type RequestPlaneServer,
} from './requestPlane/requestPlane.ts';
export {
  ConnectFailedError,
  ConnectionLostError,
  DeadlineExceededError,
  MessageTooLargeError,
  ProtocolError,
  RemoteError,
  RequestPlaneError,
  RequestRefusedError,
} from './requestPlane/requestPlaneError.ts';
export { logLostCaller } from './requestPlane/logLostCaller.ts';
export { TcpRequestClient } from './requestPlane/tcpClient.ts';
export { tcpOptionsFromEnv, type TcpOptions } from './requestPlane/tcpOptions.ts';
export { Resources } from './resources.ts';
export { TcpRequestServer } from './requestPlane/tcpServer.ts';
