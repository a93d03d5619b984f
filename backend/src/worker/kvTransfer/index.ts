/** KV blocks between workers: the engine's connector over the transfer engine, and what command line and environment say about it. */
export { createConnector } from './createConnector.ts';
export { addDisaggregationFlags, disaggregationRole, type DisaggregationRole } from './disaggregationRole.ts';
export { defaultKvTransferConfig, type DisaggregationMode, type KvTransferConfig, parseKvTransferConfig } from './kvTransferConfig.ts';
export { fetchEndpoint } from './fetchEndpoint.ts';
export { NixlConnector, type NixlConnectorOptions } from './nixlConnector.ts';
export { transferSettings, type TransferSettings } from './transferSettings.ts';
