import { agentConfig } from './agentConfig.ts';
import { createLogger } from './logger.ts';
import { NodeAgent } from './nodeAgent.ts';
import { createPodNet } from './podnet/index.ts';

/** Longest time from the start of the process to ready nodes. */
const startDeadlineMs = 60_000;
/** Longest time for an orderly stop. */
const stopDeadlineMs = 20_000;

const log = createLogger();

async function main(): Promise<void> {
  const config = agentConfig();
  const podNet = await createPodNet({
    mode: config.podNet,
    layout: config.layout,
    onFallback: (reason) => log.warn(`pod network: namespaces are not available (${reason}); using the loopback map`),
  });
  const agent = new NodeAgent({ config, podNet, log });
  const stop = (signal: string): void => {
    log.info(`${signal}: ending all pods`);
    setTimeout(() => process.exit(1), stopDeadlineMs).unref();
    agent.stop().then(
      () => process.exit(0),
      (error: unknown) => {
        log.warn('stop', error);
        process.exit(1);
      },
    );
  };
  process.once('SIGTERM', () => stop('SIGTERM'));
  process.once('SIGINT', () => stop('SIGINT'));
  await agent.start(AbortSignal.timeout(startDeadlineMs));
}

main().catch((error: unknown) => {
  log.warn('the node agent cannot start', error instanceof Error ? (error.stack ?? error.message) : error);
  process.exit(1);
});
