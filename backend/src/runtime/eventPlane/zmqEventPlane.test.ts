import { createLogger } from '../../observability/index.ts';
import { eventPlaneContract } from './eventPlane.contract.ts';
import { ZmqEventPlane } from './zmqEventPlane.ts';

const logger = createLogger({ target: 'test', write: () => {} });

eventPlaneContract('zmq', async () => ({
  publisher: () => ZmqEventPlane.open({ host: '127.0.0.1', publisher: true, logger }),
  subscriber: () => ZmqEventPlane.open({ host: '127.0.0.1', publisher: false, logger }),
  close: async () => {},
}));
