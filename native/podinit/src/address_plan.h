/* The same numbers as addressPlan.ts. */
#ifndef PODINIT_ADDRESS_PLAN_H
#define PODINIT_ADDRESS_PLAN_H

#define BRIDGE_NAME "pods0"
#define BRIDGE_ADDRESS "10.244.0.1"
#define POD_PREFIX_LENGTH 16
#define SERVICE_NETWORK "10.96.0.0"
#define SERVICE_PREFIX_LENGTH 16
#define NODE_NETWORK "10.240.0.0"
#define NODE_PREFIX_LENGTH 24

#endif
